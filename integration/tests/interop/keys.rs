//! Events with an idempotency key in a mixed fleet: servers of python-socketio do not know keys.

use integration::DEADLINE;
use integration::client::Kind;
use integration::python::PyManager;

use super::fleet::{Fleet, From};

pub(super) async fn a_repeat_is_dropped_by_our_server_and_delivered_by_theirs(theirs: PyManager) {
    let mut fleet = Fleet::start(theirs, From::OurEmitter).await;
    let [mut a, mut b] = fleet
        .members([Kind::Node, Kind::Node], ["websocket", "websocket"])
        .await;
    for number in [1, 2, 3] {
        let keyed = fleet.emitter.broadcast().idempotency_key("job 7");
        keyed.emit("done", &number).await.unwrap();
    }
    // A server delivers its own event at once: the first one must have arrived there, or the server's would be the first.
    let first = a.client.next_message(DEADLINE).await;
    assert_eq!(first.args[0], 1, "on our server");
    let from_server = fleet.ours.io.broadcast().idempotency_key("job 7");
    from_server.emit("done", &4).await.unwrap();
    fleet.end().await;
    let messages = a.client.messages_before("end").await;
    let numbers = |messages: &[integration::client::Message]| -> Vec<_> {
        messages
            .iter()
            .map(|message| message.args[0].as_u64().unwrap())
            .collect()
    };
    assert_eq!(numbers(&messages), [0; 0], "repeats on our server");
    let messages = b.client.messages_before("end").await;
    assert_eq!(numbers(&messages), [1, 2, 3, 4], "on the other server");
}
