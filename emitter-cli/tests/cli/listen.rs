//! `sio listen`.

use serde_json::json;

use crate::support::{Broker, Sio};

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
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
}

#[tokio::test]
async fn listen_shows_what_cannot_be_decoded_and_stops_on_a_signal() {
    let broker = Broker::start().await;
    let mut listening = Sio::new(&["listen"]).url(&broker.url).start();
    let said = listening.error_line().await;
    assert!(said.contains("listening to channel socketio at redis://"), "{said}");
    broker.wait_for_subscriber("socketio").await;
    broker.publish("socketio", "nonsense").await;
    assert!(listening.line().await.contains("undecodable message of 8 bytes"));
    listening.signal("TERM").await;
    assert_eq!(listening.finish().await.code, 0);
}

#[tokio::test]
async fn filters_show_only_what_concerns_them_and_a_count_ends_it() {
    let broker = Broker::start().await;
    let arguments = [
        "listen",
        "--json",
        "-n",
        "/c",
        "-r",
        "a",
        "--event",
        "news",
        "--count",
        "2",
        "--timeout",
        "1m",
    ];
    let listening = Sio::new(&arguments).url(&broker.url).start();
    broker.wait_for_subscriber("socketio").await;
    for (namespace, room, event, number) in [
        ("/", "a", "news", "1"),
        ("/c", "b", "news", "2"),
        ("/c", "a", "news", "3"),
        ("/c", "a", "other", "4"),
        ("/c", "a", "news", "5"),
        ("/c", "a", "news", "6"),
    ] {
        broker.publish("socketio", "nonsense").await;
        let message = json!({"method": "emit", "event": event, "data": [number], "namespace": namespace, "room": room});
        broker.publish("socketio", &message.to_string()).await;
    }
    let done = listening.finish().await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    let shown: Vec<serde_json::Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<_> = shown.iter().map(|line| &line["args"][0]).collect();
    assert_eq!(numbers, ["3", "5"], "{}", done.stdout);
}

#[tokio::test]
async fn a_count_that_is_not_reached_in_time_is_exit_code_1_and_says_how_many_came() {
    let broker = Broker::start().await;
    let waiting = |arguments: &[&str]| {
        let sio = Sio::new(&["listen", "--event", "news"]).args(arguments);
        sio.url(&broker.url).start()
    };
    let mut two = waiting(&["--count", "2", "--timeout", "5s"]);
    broker.wait_for_subscriber("socketio").await;
    let message = json!({"method": "emit", "event": "news", "data": [1], "namespace": "/"}).to_string();
    broker.publish("socketio", &message).await;
    assert!(two.line().await.contains("news"));
    let done = two.finish().await;
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(
        done.stderr.contains("1 of 2 messages came within 5s"),
        "{}",
        done.stderr
    );

    let done = waiting(&["--timeout", "200ms"]).finish().await;
    assert_eq!((done.code, &*done.stdout), (0, ""), "{}", done.stderr);

    let mut stopped = waiting(&["--count", "1"]);
    assert!(stopped.error_line().await.contains("listening to channel"));
    stopped.signal("INT").await;
    let done = stopped.finish().await;
    assert_eq!(done.code, 130, "{}", done.stderr);
    assert!(done.stderr.contains("0 of 1 messages came"), "{}", done.stderr);
}

#[tokio::test]
async fn a_filter_that_cannot_match_is_usage() {
    for arguments in [&["-n", "chat"][..], &["--count", "0"], &["--event", ""], &["-r", ""]] {
        let done = Sio::new(&["listen"]).args(arguments).run("").await;
        assert_eq!(done.code, 2, "{arguments:?}: {}", done.stderr);
    }
}
