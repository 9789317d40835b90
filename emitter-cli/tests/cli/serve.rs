//! `sio serve` and `sio demo`.

use crate::support::{Broker, Client, Done, Running, Sio, dead_url, http_get, http_get_with};

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
async fn a_demo_that_a_signal_ends_before_its_count_says_so() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut demo = Sio::new(&["demo", "--count", "1000000"]).start();
        while !demo.line().await.starts_with("delivered    1 ") {}
        demo.signal(signal).await;
        let done = demo.finish().await;
        assert_eq!(done.code, code, "{}", done.stderr);
        assert!(
            done.stderr.contains("1000000 deliveries were not reached"),
            "{}",
            done.stderr
        );
    }
}

/// A server on a port of its own, and its address.
pub(crate) async fn serving(url: &str) -> (Running, String) {
    serving_with(url, &[]).await
}

pub(crate) async fn serving_with(url: &str, options: &[&str]) -> (Running, String) {
    let sio = Sio::new(&["serve", "--listen", "127.0.0.1:0"]);
    let mut serving = sio.args(options).url(url).start();
    let addr = address(&mut serving).await;
    (serving, addr)
}

/// The address that a server prints first.
pub(crate) async fn address(serving: &mut Running) -> String {
    let line = serving.line().await;
    let (_, url) = line.trim_end().split_once("http://").expect("an address");
    url.trim_end_matches('/').to_owned()
}

/// Emits into a room.
async fn emit(broker: &Broker, room: &str, number: &str) {
    let done = Sio::new(&["emit", "-r", room, "news", number])
        .url(&broker.url)
        .run("")
        .await;
    assert_eq!(done.code, 0, "{}", done.stderr);
}

#[tokio::test]
async fn serve_has_a_page_and_stops_on_a_signal() {
    let broker = Broker::start().await;
    let (serving, addr) = serving(&broker.url).await;
    let page = http_get(&addr, "/").await;
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("<title>sio"),
        "{page}"
    );
    assert!(http_get(&addr, "/other").await.starts_with("HTTP/1.1 404"));
    serving.signal("TERM").await;
    let done = serving.finish().await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn clients_of_serve_get_what_is_emitted_into_their_rooms() {
    let broker = Broker::start().await;
    let (_serving, addr) = serving(&broker.url).await;
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
        emit(&broker, room, number).await;
        client.expect(&format!("42[\"news\",{number}]")).await;
    }
    client.send("422[\"leave\",\"event room\"]").await;
    client.expect("432[\"ok\"]").await;
    emit(&broker, "event room", "4").await;
    emit(&broker, "query room", "5").await;
    client.expect("42[\"news\",5]").await;
}

#[tokio::test]
async fn clients_of_serve_answer_and_are_disconnected() {
    let broker = Broker::start().await;
    let (_serving, addr) = serving(&broker.url).await;
    let mut client = Client::connect(&addr, "").await;
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
}

/// What is said where the server of a busy machine was too late to tell whether it has the client.
const TOO_LATE: &str = "is not known: 1 server did not respond";

/// Runs a command about a client, and again if the server was too late.
async fn told(line: &[&str], url: &str) -> Done {
    for _ in 0..10 {
        let done = Sio::new(line).url(url).run("").await;
        if !done.stderr.contains(TOO_LATE) {
            return done;
        }
    }
    panic!("{line:?}: the server never says whether it has the client");
}

#[tokio::test]
async fn disconnecting_a_client_that_is_not_there_says_so() {
    let broker = Broker::start().await;
    let (_serving, addr) = serving(&broker.url).await;
    let client = Client::connect(&addr, "").await;
    let mut channel = broker.subscribe("socketio").await;
    for (line, is_there) in [
        (&["enter-room", &client.id, "r"][..], true),
        (&["leave-room", &client.id, "r"], true),
        (&["disconnect", "nosuchid"], false),
        (&["enter-room", "nosuchid", "r"], false),
        (&["disconnect", &client.id, "-n", "/other"], false),
        (&["disconnect", &client.id], true),
        (&["disconnect", &client.id], false),
        (&["-q", "disconnect", &client.id], true),
    ] {
        let done = told(line, &broker.url).await;
        // A server that cannot respond may have it.
        assert_eq!(done.code, 0, "{line:?}: {}", done.stderr);
        assert!(channel.next().await["method"].is_string(), "published: {line:?}");
        let is_told = done.stderr.contains("no client") && done.stderr.contains("on the one server that responded");
        assert_eq!(is_told, !is_there, "{line:?}: {}", done.stderr);
        assert_eq!(
            done.stderr.lines().count(),
            usize::from(!is_there),
            "{line:?}: {}",
            done.stderr
        );
    }
}

#[tokio::test]
async fn serve_has_further_namespaces_and_origins() {
    let broker = Broker::start().await;
    let options = ["-n", "/chat", "--origin", "https://app.example"];
    let (_serving, addr) = serving_with(&broker.url, &options).await;
    let mut client = Client::connect(&addr, "&room=r").await;
    client.send("40/chat,").await;
    assert!(client.next().await.starts_with("40/chat,"), "joined");
    let line = ["emit", "-n", "/chat", "-r", "r", "news"];
    assert_eq!(Sio::new(&line).url(&broker.url).run("").await.code, 0);
    client.expect("42/chat,[\"news\"]").await;
    let own = format!("http://{addr}");
    for (origin, status) in [
        ("https://app.example", "200"),
        (own.as_str(), "200"),
        ("https://evil.example", "400"),
    ] {
        let path = "/socket.io/?EIO=4&transport=polling";
        let answer = http_get_with(&addr, path, &format!("Origin: {origin}\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{origin}: {answer}");
    }
}

#[tokio::test]
async fn a_port_or_a_name_is_an_address_to_listen_on() {
    let broker = Broker::start().await;
    for addr in ["localhost:0", ":0", "0"] {
        let mut serving = Sio::new(&["serve", "--listen", addr]).url(&broker.url).start();
        let line = serving.line().await;
        assert!(line.contains("http://127.0.0.1:"), "{addr}: {line}");
    }
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
async fn a_client_that_leaves_with_events_in_the_queue_is_no_error() {
    let broker = Broker::start().await;
    let (serving, addr) = serving(&broker.url).await;
    let mut client = Client::connect(&addr, "&room=r").await;
    for _ in 0..500 {
        client.send("42[\"leave\",\"r\"]").await;
    }
    client.send("41").await;
    drop(client);
    // Its handlers have ended when the server has.
    serving.signal("TERM").await;
    let done = serving.finish().await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_terminal_that_is_closed_ends_a_server_in_order_unless_that_is_ignored() {
    let broker = Broker::start().await;
    let line = ["serve", "--listen", "127.0.0.1:0", "--url", &broker.url];
    // The tests may be run by a command that ignores it.
    let mut server = Sio::under(&["env", "--default-signal=HUP"], &line).start();
    address(&mut server).await;
    server.signal("HUP").await;
    let done = server.finish().await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));

    let mut server = Sio::under(&["nohup"], &line).start();
    let addr = address(&mut server).await;
    server.signal("HUP").await;
    assert!(http_get(&addr, "/").await.starts_with("HTTP/1.1 200"));
    server.signal("TERM").await;
    assert_eq!(server.finish().await.code, 0);
}

#[tokio::test]
async fn a_server_without_its_broker_serves_its_own_clients_and_says_so() {
    let (mut serving, addr) = serving(&dead_url()).await;
    assert!(serving.line().await.contains("redis://127.0.0.1:"));
    let proposed = serving.line().await;
    assert!(
        proposed.contains("sio emit --room lobby") && !proposed.contains("--url"),
        "without its password the URL would not work: {proposed}"
    );
    assert!(serving.line().await.contains("SIO_URL_FILE"));
    assert!(serving.line().await.contains("any program of this machine"));
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
