//! `sio connect`: a client of any server.

#![allow(clippy::unwrap_used, reason = "in a test, what fails is to panic")]

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::serve::{serving, serving_with};
use crate::support::{Broker, Done, Running, Sio, silent_url};

fn connect(addr: &str, args: &[&str]) -> Sio {
    Sio::new(&["connect", &format!("http://{addr}")]).args(args)
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).expect(line)
}

fn lines(done: &Done) -> Vec<Value> {
    done.stdout.lines().map(parsed).collect()
}

/// The next line, without its time.
async fn next(client: &mut Running) -> Value {
    let mut line = parsed(&client.line().await);
    assert!(line["time"].as_f64().unwrap() > 1.5e9);
    line.as_object_mut().unwrap().remove("time");
    line
}

async fn emit(broker: &Broker, args: &[&str]) {
    let done = Sio::new(&["emit"]).args(args).url(&broker.url).run("").await;
    assert_eq!(done.code, 0, "{}", done.stderr);
}

#[tokio::test]
async fn events_of_the_server_are_lines_of_json_until_a_signal() {
    let broker = Broker::start().await;
    let (_serving, addr) = serving(&broker.url).await;
    let mut client = connect(&addr, &[]).start();
    let connected = next(&mut client).await;
    assert_eq!(
        (&connected["type"], &connected["namespace"]),
        (&json!("connect"), &json!("/"))
    );
    let sid = connected["sid"].as_str().unwrap();
    emit(&broker, &["-r", sid, "news", "1", "{\"a\": 1.50}"]).await;
    let line = client.line().await;
    assert!(line.contains("\"args\":[1,{\"a\": 1.50}]"), "kept as it was: {line}");

    let folder = tempfile::tempdir().unwrap();
    let [one, two] = [&b"\x00\x01\x02"[..], b"\xff"].map(|bytes| {
        let path = folder.path().join(bytes.len().to_string());
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    });
    emit(&broker, &["--binary", &one, "--binary", &two, "photos", "\"x\""]).await;
    let placeholder = |num: u32| json!({"_placeholder": true, "num": num});
    let expected = json!({
        "type": "event", "event": "photos", "args": ["x", placeholder(0), placeholder(1)], "attachments": ["AAEC", "/w=="],
    });
    assert_eq!(next(&mut client).await, expected);
    client.signal("INT").await;
    let done = client.finish().await;
    assert_eq!((done.code, &*done.stderr), (0, ""));
}

/// What the command prints of a room with its members: their number.
async fn num_members(broker: &Broker, room: &str) -> String {
    Sio::new(&["count", room]).url(&broker.url).run("").await.stdout
}

/// The options by which a client joins a room.
const JOIN: [&str; 3] = ["--emit", "join", "\"lobby\""];

#[tokio::test]
async fn an_event_is_emitted_and_acknowledged_or_another_one_awaited() {
    let broker = Broker::start().await;
    let (_serving, addr) = serving(&broker.url).await;
    let done = connect(&addr, &JOIN).args(&["--ack", "--timeout", "30s"]).run("").await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    let ack = &lines(&done)[1];
    assert_eq!((&ack["type"], &ack["args"]), (&json!("ack"), &json!(["ok"])));

    // A member that waits for one event, and another that shows two of one kind.
    let mut waiting = connect(&addr, &JOIN).args(&["--wait", "ready"]).start();
    let more = ["--ack", "--event", "news", "--count", "2"];
    let mut counting = connect(&addr, &JOIN).args(&more).start();
    for client in [&mut waiting, &mut counting] {
        assert_eq!(next(client).await["type"], "connect");
    }
    assert_eq!(next(&mut counting).await["type"], "ack");
    while num_members(&broker, "lobby").await != "2\n" {}
    for (event, number) in [("other", "1"), ("news", "2"), ("ready", "3"), ("news", "4")] {
        emit(&broker, &["-r", "lobby", event, number]).await;
    }
    for (client, expected) in [(waiting, &[1, 2, 3][..]), (counting, &[2, 4])] {
        let done = client.finish().await;
        let numbers: Vec<_> = lines(&done).iter().map(|line| line["args"][0].clone()).collect();
        assert_eq!(
            (done.code, numbers),
            (0, expected.iter().map(|&number| json!(number)).collect())
        );
    }
}

#[tokio::test]
async fn a_client_that_is_done_leaves_and_one_that_is_not_says_what_it_waited_for() {
    let broker = Broker::start().await;
    let (_serving, addr) = serving(&broker.url).await;
    let mut member = connect(&addr, &JOIN).args(&["--ack", "--wait", "never"]).start();
    for kind in ["connect", "ack"] {
        assert_eq!(next(&mut member).await["type"], kind);
    }
    // With nothing to wait for it leaves once the event is sent.
    let done = connect(&addr, &JOIN).run("").await;
    assert_eq!((done.code, lines(&done).len()), (0, 1), "{}", done.stderr);
    assert_eq!(num_members(&broker, "lobby").await, "1\n");
    member.signal("TERM").await;
    let done = member.finish().await;
    assert_eq!(done.code, 143, "{}", done.stderr);
    assert!(done.stderr.contains("no event \"never\" came"), "{}", done.stderr);
}

#[tokio::test]
async fn a_refusal_shows_what_the_server_says_and_is_exit_code_1() {
    let broker = Broker::start().await;
    let (_serving, addr) = serving_with(&broker.url, &["-n", "/chat"]).await;
    let done = connect(&addr, &["-n", "/nowhere", "--wait", "x"]).run("").await;
    assert_eq!(done.code, 1, "{}", done.stderr);
    let refused = &lines(&done)[0];
    assert_eq!(
        (&refused["type"], &refused["error"]["message"]),
        (&json!("connect_error"), &json!("Invalid namespace"))
    );
    assert!(
        done.stderr.contains("refused namespace \"/nowhere\""),
        "{}",
        done.stderr
    );
    let args = [
        "-n",
        "/chat",
        "--auth",
        "{\"token\":\"t\"}",
        "--emit",
        "join",
        "\"a\"",
        "--ack",
    ];
    let done = connect(&addr, &args).run("").await;
    assert_eq!((done.code, lines(&done).len()), (0, 2), "{}", done.stderr);
}

#[tokio::test]
async fn a_client_that_is_disconnected_or_waits_in_vain_says_what_did_not_come() {
    let broker = Broker::start().await;
    let (_serving, addr) = serving(&broker.url).await;
    let mut client = connect(&addr, &["--wait", "x", "--count", "3"]).start();
    let sid = next(&mut client).await["sid"].as_str().unwrap().to_owned();
    emit(&broker, &["-r", &sid, "news"]).await;
    assert_eq!(next(&mut client).await["event"], "news");
    let done = Sio::new(&["disconnect", &sid]).url(&broker.url).run("").await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    let done = client.finish().await;
    assert_eq!(
        (done.code, &lines(&done)[0]["type"]),
        (1, &json!("disconnect")),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("no event \"x\", 1 of 3 events came"),
        "{}",
        done.stderr
    );

    let done = connect(&addr, &["--wait", "x", "--timeout", "1s"]).run("").await;
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(
        done.stderr.contains("not all came within 1s; no event \"x\" came"),
        "{}",
        done.stderr
    );
    let done = connect(&addr, &["--timeout", "1s"]).run("").await;
    assert_eq!((done.code, &*done.stderr), (0, ""));
}

#[tokio::test]
async fn what_is_no_server_of_socket_io_is_named_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 12\r\n\r\nnot \u{1b}[2Jhere";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let silent = silent_url().await;
    let (_, silent) = silent.rsplit_once('@').unwrap();
    for (addr, text) in [
        (&*other, "the server responded 404 Not Found"),
        ("127.0.0.1:1", "connection refused"),
        (silent, "no answer within"),
    ] {
        let done = connect(addr, &["--timeout", "2s"]).run("").await;
        assert_eq!((done.code, &*done.stdout), (1, ""), "{}", done.stderr);
        assert!(
            done.stderr.contains(text) && !done.stderr.contains('\u{1b}'),
            "{}",
            done.stderr
        );
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_before_anything_is_connected() {
    for args in [
        &["h:3000"][..],
        &["http://h/chat"],
        &["http://h", "-n", "chat"],
        &["http://h", "--auth", "token"],
        &["http://h", "--emit", "connect"],
        &["http://h", "--emit", "e", "{"],
        &["http://h", "--ack"],
        &["http://h", "--count", "0"],
        &["http://h", "--event", "a", "--wait", "b"],
        &["http://h", "--ca", "/nonexistent"],
        &["https://h", "--ca", "/nonexistent"],
    ] {
        let done = Sio::new(&["connect"]).args(args).run("").await;
        assert_eq!(done.code, 2, "{args:?}: {}", done.stderr);
    }
}
