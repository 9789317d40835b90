//! Events between servers.

use std::time::Duration;

use bytes::Bytes;
use integration::DEADLINE;
use integration::brokers::unique_channel;
use integration::driven::binary;
use manager_api::ErrorKind;
use serde_json::{Value, json};

use crate::node::fleet::{Fleet, Wire, emitter_on};

super::on_every_wire! {
    servers_get_events_and_respond,
}

/// What is given to servers that do not respond.
const SHORT: Duration = Duration::from_millis(500);

async fn servers_get_events_and_respond(mut fleet: Fleet) {
    let emitter = fleet.emitter.clone();
    let bytes = Bytes::from_static(b"\x00\xff");
    emitter.server_side_emit("hey", &("text", Value::Null)).await.unwrap();
    emitter.server_side_emit("hey", &()).await.unwrap();
    emitter.server_side_emit("hey", &(1, &bytes)).await.unwrap();
    for server in &mut fleet.servers {
        for args in [json!(["text", null]), json!([]), json!([1, binary(&bytes)])] {
            let event = server.server_event(DEADLINE).await;
            assert_eq!(
                (&*event.namespace, &*event.name, Value::from(event.args)),
                ("/", "hey", args)
            );
        }
    }
    let question = json!({ "n": 1 });
    let responses = emitter
        .server_side_call("ask", &(&question, 2), DEADLINE)
        .await
        .unwrap();
    assert_eq!((responses.num_servers, responses.missing_servers.len()), (2, 0));
    for response in &responses.found {
        let payload = response.payload.as_ref().unwrap();
        assert_eq!(payload.parse::<Value>().unwrap(), question);
    }
    assert_eq!(responses.found.len(), 2);

    let responses = emitter.server_side_call("silent", &(), SHORT).await.unwrap();
    assert_eq!((responses.num_servers, responses.missing_servers.len()), (0, 2));
}

#[tokio::test]
async fn servers_and_rooms_cannot_be_listed() {
    for wire in Wire::ALL {
        let url = wire.adapter().shared_url().await;
        let emitter = emitter_on(url, wire, &unique_channel());
        let servers = emitter.servers(DEADLINE).await.unwrap_err();
        let rooms = emitter.rooms("/", "", DEADLINE).await.unwrap_err();
        for (error, words) in [(servers, "cannot list servers"), (rooms, "cannot list rooms")] {
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[tokio::test]
async fn without_servers_requests_end_at_once() {
    for wire in Wire::ALL {
        let url = wire.adapter().shared_url().await;
        let emitter = emitter_on(url, wire, &unique_channel());
        let counted = emitter.broadcast().timeout(DEADLINE).count_sockets().await.unwrap();
        assert_eq!(
            (counted.found, counted.num_servers, counted.missing_servers.len()),
            (0, 0, 0)
        );
        let responses = emitter.server_side_call("ask", &(), DEADLINE).await.unwrap();
        assert_eq!((responses.found.len(), responses.num_servers), (0, 0));
    }
}
