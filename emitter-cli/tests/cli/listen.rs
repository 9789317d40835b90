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
