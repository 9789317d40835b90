//! Values that nest deeper than the readers of Node's wires follow.

use futures_util::StreamExt;
use manager_api::Payload;
use manager_api::memory::MemoryBus;
use manager_api::message::Message;
use manager_api::wire::Arrival;

use super::carried::{node_server, with_node};
use super::support::{Member, event, node_wires};
use crate::carry::MAX_DEPTH;

/// An event with a list in a list, so many levels in all with the list of the arguments.
fn nested(levels: usize) -> Message {
    let mut emit = event(1);
    let text = "[".repeat(levels) + &"]".repeat(levels);
    emit.payload = Payload::from_trusted(text.into(), Vec::new());
    Message::Emit(emit)
}

fn payload(arrival: Arrival) -> Option<Payload> {
    match arrival {
        Arrival::Message(envelope) => match envelope.message {
            Message::Emit(emit) => Some(emit.payload),
            other => panic!("{other:?}"),
        },
        Arrival::Own { .. } => None,
        unexpected => panic!("{unexpected:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_bridge_could_read_back_is_skipped() {
    for wire in node_wires() {
        let bus = MemoryBus::new();
        let running = with_node(&bus, &wire, true).await;
        let (_node, mut arrivals) = node_server(&bus, &wire).await;
        let python = Member::of(&bus, "python").await;
        for levels in [MAX_DEPTH + 1, 200, 5_000, MAX_DEPTH] {
            python.send(nested(levels)).await;
        }
        python.emit(2).await;
        let mut read = Vec::new();
        while read.last() != Some(&event(2).payload) {
            let arrival = arrivals.next().await.unwrap();
            read.extend(payload(arrival));
        }
        let Message::Emit(deepest) = nested(MAX_DEPTH) else {
            unreachable!()
        };
        assert_eq!(read, [deepest.payload, event(2).payload], "{wire:?}");
        // The second is confirmed a moment after it is read.
        while running.bridge.status().pairs[0].forwarded < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(running.bridge.status().pairs[0].skipped_wire, 3, "{wire:?}");
    }
}
