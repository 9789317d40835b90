//! Events that expect something in return of several fleets, one of which cannot be reached.

use std::time::Duration;

use manager_api::Emitter;
use manager_api::memory::MemoryBus;

use super::carried::play_server;
use super::support::{Member, Running, Tap};
use crate::{Bridge, BridgeDuty, Side};

#[tokio::test(start_paused = true)]
async fn an_event_gets_the_acknowledgements_of_a_fleet_that_could_not_be_reached_at_first() {
    let bus = MemoryBus::new();
    let c = Tap::new(&bus, "c");
    let bridge = Bridge::builder()
        .side(Side::new("a", bus.manager("a")))
        .side(Side::new("b", bus.manager("b")))
        .side(Side::new("c", c.clone()));
    let running = Running::start(bridge.build().unwrap());
    running.until(BridgeDuty::Active).await;
    let _b = play_server(Member::of(&bus, "b").await, &["b1", "b2"]);
    let _c = play_server(Member::of(&bus, "c").await, &["c1"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    c.refuse(true);
    let emitter = Emitter::new(bus.manager("a"));
    let emitting = tokio::spawn(async move {
        let emitted = emitter.to("r").timeout(Duration::from_secs(10));
        emitted.emit_and_collect("ready?", &1).await.unwrap()
    });
    // The servers are counted, and several attempts fail meanwhile.
    tokio::time::sleep(Duration::from_secs(4)).await;
    c.refuse(false);
    let report = emitting.await.unwrap();
    let mut acks: Vec<String> = report.acks.iter().map(|ack| ack.payload.parse().unwrap()).collect();
    acks.sort();
    assert_eq!(acks, ["b1", "b2", "c1"], "{report:?}");
    assert!(report.is_complete(), "{report:?}");
    running.stop().await.unwrap();
}
