//! The binary as its users run it: arguments, input, exit codes, output; over the embedded broker.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Broker, Client, Sio, dead_url, http_get, silent_url};

#[tokio::test]
async fn emit_publishes_what_was_asked_for() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("news-channel").await;
    let line = [
        "emit",
        "-n",
        "/chat",
        "-r",
        "a",
        "-r",
        "b",
        "--except",
        "x",
        "news",
        "1",
        "{\"b\": [2]}",
    ];
    let done = Sio::new(&line)
        .url(&broker.url)
        .args(&["--channel", "news-channel"])
        .run("")
        .await;
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (0, "", ""));
    let message = channel.next().await;
    let expected = json!({"method": "emit", "event": "news", "namespace": "/chat", "room": ["a", "b"], "skip_sid": "x", "data": [1, {"b": [2]}]});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&message[field], value, "{field} of {message}");
    }
}

#[tokio::test]
async fn arguments_come_from_files_and_standard_input() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let folder = tempfile::tempdir().unwrap();
    let (text, binary) = (folder.path().join("a.json"), folder.path().join("b.bin"));
    std::fs::write(&text, "{\"from\":\"file\"}").unwrap();
    std::fs::write(&binary, [0, 1, 255]).unwrap();
    let (text, binary) = (format!("@{}", text.display()), binary.display().to_string());
    let line = ["emit", "e", &text, "@-", "--binary", &binary];
    let done = Sio::new(&line).url(&broker.url).run(" [1]\n").await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let message = channel.next().await;
    assert_eq!(message["binary"], json!(true));
    let placeholder = json!({"_placeholder": true, "num": 0});
    assert_eq!(message["data"], json!([[{"from": "file"}, [1], placeholder], "AAH/"]));
}

#[tokio::test]
async fn clients_and_rooms_are_managed() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    for (line, expected) in [
        (
            &["disconnect", "id"][..],
            json!({"method": "disconnect", "sid": "id", "namespace": "/"}),
        ),
        (
            &["enter-room", "id", "r"],
            json!({"method": "enter_room", "sid": "id", "room": "r"}),
        ),
        (
            &["leave-room", "id", "r", "-n", "/c"],
            json!({"method": "leave_room", "sid": "id", "namespace": "/c"}),
        ),
        (&["close-room", "r"], json!({"method": "close_room", "room": "r"})),
    ] {
        let done = Sio::new(line).env("SIO_URL", &broker.url).run("").await;
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{line:?}");
        let message = channel.next().await;
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&message[field], value, "{field} of {message}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_sent_exits_2_and_sends_nothing() {
    let url = dead_url();
    for (line, reason) in [
        (&["emit", "news", "{\"a\":}"][..], "line 1 column 6"),
        (&["emit", "news", "hello"], "--text"),
        (&["emit", "connect"], "reserved"),
        (&["emit", ""], "empty"),
        (&["emit", "-n", "chat", "news"], "must begin with '/'"),
        (&["emit"], "<EVENT>"),
        (&["emit", "news", "@/no/such/file"], "/no/such/file"),
        (&["nonsense"], "nonsense"),
        (&["demo", "--count", "x"], "--count"),
    ] {
        let done = Sio::new(line).env("SIO_URL", &url).run("").await;
        assert_eq!(done.code, 2, "{line:?}: {}", done.stderr);
        assert!(done.stderr.contains(reason), "{line:?}: {}", done.stderr);
    }
    let done = Sio::new(&["emit", "news"]).url("mqtt://me:secret@host").run("").await;
    assert_eq!(done.code, 2);
    assert!(
        done.stderr.contains("mqtt") && done.stderr.contains("rediss"),
        "{}",
        done.stderr
    );
    assert!(!done.stderr.contains("secret"), "{}", done.stderr);
}

#[tokio::test]
async fn a_broker_out_of_reach_exits_1_within_the_deadline() {
    let (refusing, silent) = (dead_url(), silent_url().await);
    let lines = [
        &["emit", "news"][..],
        &["emit", "--ack", "1", "news"],
        &["listen"],
        &["close-room", "r"],
    ];
    let cases = lines
        .iter()
        .flat_map(|line| [(line, &refusing, "refused"), (line, &silent, "")]);
    let checks = cases.map(async |(line, url, cause)| {
        let host = url.rsplit('@').next().unwrap();
        let started = Instant::now();
        let done = Sio::new(line).url(url).args(&["--timeout", "1s"]).run("").await;
        assert_eq!(done.code, 1, "{line:?}: {}", done.stderr);
        assert!(
            done.stderr.contains(host) && done.stderr.contains(cause),
            "{line:?}: {}",
            done.stderr
        );
        assert!(done.stderr.contains("sio serve"), "what to do: {}", done.stderr);
        assert!(!done.stderr.contains("secret"), "{line:?}: {}", done.stderr);
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{line:?} took {:?}",
            started.elapsed()
        );
    });
    futures_util::future::join_all(checks).await;
}

#[tokio::test]
async fn lines_are_emitted_in_order() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let input: String = (0..5_000).map(|number| format!("{{\"number\": {number}}}\n")).collect();
    let done = Sio::new(&["emit", "--lines", "-r", "r", "n"])
        .url(&broker.url)
        .run(&input)
        .await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.stderr.contains("5000 accepted, 0 refused, 0 bad"),
        "{}",
        done.stderr
    );
    for number in 0..5_000 {
        let message = channel.next().await;
        assert_eq!(
            (&message["data"], &message["room"]),
            (&json!([{"number": number}]), &json!("r"))
        );
    }
}

#[tokio::test]
async fn a_rate_is_kept() {
    let broker = Broker::start().await;
    let started = Instant::now();
    let input = "1\n".repeat(50);
    let done = Sio::new(&["emit", "--lines", "--rate", "100", "-q", "n"])
        .url(&broker.url)
        .run(&input)
        .await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let seconds = started.elapsed().as_secs_f64();
    assert!(seconds > 0.4, "50 events at 100/s took {seconds} s");
}

#[tokio::test]
async fn a_bad_line_is_named_and_stops_or_is_skipped() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let input = "{\"event\":\"a\",\"data\":1}\n\n{\"event\":\"b\",\"data\":}\n{\"event\":\"c\",\"args\":[2,3]}\n";
    let done = Sio::new(&["emit", "--lines"]).url(&broker.url).run(input).await;
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(
        done.stderr.contains("line 3 is bad: expected value at column 21"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("1 accepted, 0 refused, 1 bad"), "{}", done.stderr);
    assert_eq!(channel.next().await["event"], "a");

    let done = Sio::new(&["emit", "--lines", "--keep-going"])
        .url(&broker.url)
        .run(input)
        .await;
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("2 accepted, 0 refused, 1 bad"), "{}", done.stderr);
    assert_eq!(channel.next().await["event"], "a");
    assert_eq!(channel.next().await["data"], json!([2, 3]));
}

#[tokio::test]
async fn refused_lines_are_counted_and_named() {
    let done = Sio::new(&["emit", "--lines", "--keep-going", "--timeout", "1s", "n"])
        .url(&dead_url())
        .run("1\n2\n")
        .await;
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(
        done.stderr.contains("line 1 was refused") && done.stderr.contains("line 2 was refused"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("0 accepted, 2 refused, 0 bad"), "{}", done.stderr);
}

#[tokio::test]
async fn answers_are_printed_as_json() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let asking = Sio::new(&["emit", "--ack", "1", "-r", "id", "question"])
        .url(&broker.url)
        .start();
    let question = channel.next().await;
    let (room, namespace, id) = (
        &question["callback"][0],
        &question["callback"][1],
        &question["callback"][2],
    );
    let answer = json!({"method": "callback", "host_id": question["host_id"], "sid": room, "namespace": namespace, "id": id, "args": ["yes", 2]});
    broker.publish("socketio", &answer.to_string()).await;
    let done = asking.finish().await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    let printed: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(printed["args"], json!(["yes", 2]));
}

#[tokio::test]
async fn too_few_answers_exit_1() {
    let broker = Broker::start().await;
    let done = Sio::new(&["emit", "--ack", "2", "--timeout", "200ms", "q"])
        .url(&broker.url)
        .run("")
        .await;
    assert_eq!((done.code, done.stdout.as_str()), (1, ""));
    assert!(done.stderr.contains("0 of 2 answers"), "{}", done.stderr);
}

#[tokio::test]
async fn what_was_listened_to_can_be_emitted_again_and_a_closed_pipe_is_success() {
    let broker = Broker::start().await;
    let mut listening = Sio::new(&["listen", "--json"]).url(&broker.url).start();
    broker.wait_for_subscriber("socketio").await;
    let line = ["emit", "-n", "/c", "-r", "a", "news", "{\"x\": 1.50}"];
    assert_eq!(Sio::new(&line).url(&broker.url).run("").await.code, 0);
    let heard = listening.line().await;
    assert!(heard.contains("\"args\":[{\"x\": 1.50}]"), "kept as it was: {heard}");
    listening.close_stdout();
    let mut channel = broker.subscribe("socketio").await;
    let done = Sio::new(&["emit", "--lines"]).url(&broker.url).run(&heard).await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    let again = channel.next().await;
    assert_eq!((&again["event"], &again["namespace"]), (&json!("news"), &json!("/c")));
    let done = listening.finish().await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn listen_shows_what_cannot_be_decoded_and_stops_on_a_signal() {
    let broker = Broker::start().await;
    let mut listening = Sio::new(&["listen"]).url(&broker.url).start();
    broker.wait_for_subscriber("socketio").await;
    broker.publish("socketio", "nonsense").await;
    assert!(listening.line().await.contains("undecodable message of 8 bytes"));
    listening.signal("TERM").await;
    assert_eq!(listening.finish().await.code, 0);
}

#[tokio::test]
async fn help_completions_and_version_need_no_broker() {
    for (line, expected) in [
        (&["--help"][..], "Examples:"),
        (&["emit", "--help"], "sio emit --lines"),
        (&["serve", "--help"], "Examples:"),
        (&["completions", "bash"], "_sio()"),
        (&["completions", "zsh"], "#compdef sio"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let done = Sio::new(line).run("").await;
        assert_eq!(done.code, 0, "{line:?}");
        assert!(done.stdout.contains(expected), "{line:?}: {}", done.stdout);
        let mut closed = Sio::new(line).start();
        closed.close_stdout();
        assert_eq!(closed.finish().await.code, 0, "{line:?} into a closed pipe");
    }
}

#[tokio::test]
async fn a_demo_with_a_count_ends_when_all_were_delivered() {
    let done = Sio::new(&["demo", "--count", "5"]).run("").await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{}", done.stdout);
    assert_eq!(
        done.stdout.lines().filter(|line| line.starts_with("delivered")).count(),
        5,
        "{}",
        done.stdout
    );
    assert!(
        done.stdout.contains("http://127.0.0.1:") && done.stdout.contains("all 5 delivered"),
        "{}",
        done.stdout
    );
}

#[tokio::test]
async fn a_demo_without_a_count_runs_until_it_is_stopped() {
    let mut demo = Sio::new(&["demo"]).start();
    while !demo.line().await.starts_with("delivered    1 ") {}
    demo.signal("INT").await;
    let done = demo.finish().await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn clients_of_serve_get_what_is_emitted_into_their_rooms() {
    let broker = Broker::start().await;
    let mut serving = Sio::new(&["serve", "--listen", "127.0.0.1:0"]).url(&broker.url).start();
    let addr = serving
        .line()
        .await
        .trim_end()
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();

    let page = http_get(&addr, "/").await;
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("<title>sio"),
        "{page}"
    );
    assert!(http_get(&addr, "/other").await.starts_with("HTTP/1.1 404"));

    let mut client = Client::connect(&addr, "&room=query%20room").await;
    client.send("420[\"join\",\"event room\"]").await;
    client.expect("430[\"ok\"]").await;
    client.send("421[\"join\",\"\"]").await;
    client.expect("431[\"the name of a room must not be empty\"]").await;
    for (room, number) in [
        ("query room", "1"),
        ("event room", "2"),
        (client.id.clone().as_str(), "3"),
    ] {
        let done = Sio::new(&["emit", "-r", room, "news", number])
            .url(&broker.url)
            .run("")
            .await;
        assert_eq!(done.code, 0, "{}", done.stderr);
        client.expect(&format!("42[\"news\",{number}]")).await;
    }
    client.send("422[\"leave\",\"event room\"]").await;
    client.expect("432[\"ok\"]").await;
    for (room, number) in [("event room", "4"), ("query room", "5")] {
        assert_eq!(
            Sio::new(&["emit", "-r", room, "news", number])
                .url(&broker.url)
                .run("")
                .await
                .code,
            0
        );
    }
    client.expect("42[\"news\",5]").await;

    let asking = Sio::new(&["emit", "--ack", "1", "-r", &client.id, "question", "\"ready?\""])
        .url(&broker.url)
        .start();
    let question = client.next().await;
    let id = question.strip_prefix("42").unwrap().split('[').next().unwrap();
    client.send(&format!("43{id}[\"yes\"]")).await;
    let done = asking.finish().await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.contains("\"args\":[\"yes\"]"), "{}", done.stdout);

    let done = Sio::new(&["disconnect", &client.id]).url(&broker.url).run("").await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    client.expect("41").await;
    serving.signal("TERM").await;
    let done = serving.finish().await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let done = Sio::new(&["serve", "--listen", &addr]).url(&dead_url()).run("").await;
    assert_eq!(done.code, 1);
    assert!(
        done.stderr.contains(&addr) && done.stderr.contains("--listen"),
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn a_server_without_its_broker_serves_its_own_clients_and_says_so() {
    let mut serving = Sio::new(&["serve", "--listen", "127.0.0.1:0"]).url(&dead_url()).start();
    let addr = serving
        .line()
        .await
        .trim_end()
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    let mut client = Client::connect(&addr, "").await;
    client.send("420[\"join\",\"r\"]").await;
    client.expect("430[\"ok\"]").await;
    serving.signal("TERM").await;
    let done = serving.finish().await;
    assert!(
        done.stderr.contains("not subscribed yet") && !done.stderr.contains("secret"),
        "{}",
        done.stderr
    );
    assert_eq!(done.code, 0, "{}", done.stderr);
}

#[tokio::test]
async fn a_signal_ends_lines_after_what_was_read() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let mut lines = Sio::new(&["emit", "--lines", "n"]).url(&broker.url).start();
    lines.write("1\n2\n3").await;
    for number in [1, 2] {
        assert_eq!(
            channel.next().await["data"],
            json!([number]),
            "at once, not when the input ends"
        );
    }
    lines.signal("INT").await;
    let done = lines.finish_with_open_stdin().await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.stderr.contains("2 accepted, 0 refused, 0 bad") && done.stderr.contains("interrupted"),
        "{}",
        done.stderr
    );
}
