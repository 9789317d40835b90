//! What a bridge says about sides where it is in the wrong place.

use std::time::Duration;

use manager_api::Subscription;
use manager_api::memory::{MemoryBus, MemoryManager};
use manager_api::topics::{Delivery, Interest, Topic, Topics};
use node_wire::NodeWire;

use super::carried::{node_server, with_node};
use super::support::{Running, Tap, node_wires};
use crate::{Bridge, BridgeDuty, Side, metrics};

/// Subscribes to a topic as long as what it returns is kept.
async fn subscribed(bus: &MemoryBus, topic: &str) -> (MemoryManager, Subscription<Delivery>) {
    let interests = vec![Interest::Topic(Topic::sharded(topic))];
    let manager = bus.manager("unused");
    let subscription = manager.subscribe_to(interests).await.unwrap();
    (manager, subscription)
}

async fn found_at(running: &Running, place: usize) -> (String, Option<String>) {
    let (side, found) = running.bridge.find_unheard().await.remove(place);
    (side, found.unwrap())
}

#[tokio::test(start_paused = true)]
async fn servers_that_publish_to_channels_of_rooms_are_told_of() {
    let wire = NodeWire::sharded().prefix("p*");
    let bus = MemoryBus::new();
    let _server = subscribed(&bus, "p*#/#0123456789abcdef#").await;
    let _elsewhere = subscribed(&bus, "px#/#lobby#").await;
    let running = with_node(&bus, &wire, true).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(running.bridge.status().sides[1].unheard, None);
    assert_eq!(found_at(&running, 1).await, ("node".to_owned(), None));

    let room = subscribed(&bus, "p*#/#lobby#").await;
    let text = found_at(&running, 1).await.1.expect("a room has a channel");
    assert!(text.contains("\"static\"") && !text.contains("lobby"), "{text}");
    assert_eq!(found_at(&running, 0).await, ("python".to_owned(), None));
    tokio::time::sleep(Duration::from_secs(61)).await;
    let status = running.bridge.status();
    assert_eq!(status.sides[1].unheard, Some(text));
    assert!(metrics::render(&status).contains("sio_bridge_side_unheard{side=\"node\"} 1\n"));

    drop(room);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(running.bridge.status().sides[1].unheard, None, "it is mended");
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_side_on_which_there_is_no_server_is_told_of_until_there_is_one() {
    for wire in node_wires() {
        let bus = MemoryBus::new();
        let twin = || {
            let bridge = Bridge::builder()
                .name("twins")
                .side(Side::new("python", bus.manager("python")))
                .side(Side::new("node", bus.manager("unused")).wire(wire.clone()))
                .control(Tap::new(&bus, "control"));
            Running::start(bridge.build().unwrap())
        };
        let two = [twin(), twin()];
        tokio::time::sleep(Duration::from_secs(20)).await;
        for running in &two {
            let status = running.bridge.status();
            let found: Vec<_> = status.sides.iter().map(|side| side.has_no_servers).collect();
            assert_eq!(found, [false, true], "{wire:?}: the other bridge is not a server");
        }
        let _server = node_server(&bus, &wire).await;
        tokio::time::sleep(Duration::from_secs(61)).await;
        for running in two {
            assert!(!running.bridge.status().sides[1].has_no_servers, "{wire:?}");
            running.stop().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleet_of_ours_without_servers_is_told_of() {
    let bus = MemoryBus::new();
    let bridge = Bridge::builder()
        .side(Side::new("a", bus.manager("a")).silent_servers(false))
        .side(Side::new("b", bus.manager("b")));
    let running = Running::start(bridge.build().unwrap());
    running.until(BridgeDuty::Active).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let status = running.bridge.status();
    let found: Vec<_> = status.sides.iter().map(|side| side.has_no_servers).collect();
    assert_eq!(
        found,
        [true, false],
        "servers of python-socketio do not announce themselves"
    );
    running.stop().await.unwrap();
}
