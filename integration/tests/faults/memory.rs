//! Memory of a server whose broker is unreachable.

use integration::app::Load;
use integration::brokers::RedisBroker;
use serde_json::json;

use super::{CHANNEL, ROOM};
use crate::support::{Client, Node};

/// The length of an event, in bytes.
const PADDING: usize = 10_000;
/// Events on their way at a time: more bytes than the manager holds for them.
const IN_FLIGHT: usize = 1_000;
/// The growth allowed while five times as much fails, in KiB: noise of the allocator.
const GROWTH_KIB: u64 = 16 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_failed_emits_leave_nothing_in_memory() {
    let mut broker = RedisBroker::start().await;
    let mut node = Node::start(&broker.url(), CHANNEL).await;
    let local = Client::connect(node.address, &[ROOM]).await.read();
    let load = |count| Load {
        origin: "node".to_owned(),
        count,
        in_flight: IN_FLIGHT,
        padding: PADDING,
    };
    broker.kill();
    // The memory that it needs in any case; from then on it must not grow.
    fails(&mut node, &load(1_000), &broker.address()).await;
    let before = node.report().await;
    fails(&mut node, &load(5_000), &broker.address()).await;
    let after = node.report().await;
    let peak = |report: &serde_json::Value| report["peak_kib"].as_u64().unwrap();
    let growth = peak(&after) - peak(&before);
    assert!(peak(&before) > 0, "there is /proc");
    assert!(growth < GROWTH_KIB, "grew by {growth} KiB: {before} {after}");

    local.until_len(6_000).await;
    broker.restart().await;
    // The first may still meet the outage.
    node.emit(ROOM, &load(1)).await;
    let done = node.emit(ROOM, &load(100)).await;
    assert_eq!((&done["accepted"], &done["failed"]), (&json!(100), &json!(0)), "{done}");
    local.until_len(6_101).await;
}

async fn fails(node: &mut Node, load: &Load, address: &str) {
    let done = node.emit(ROOM, load).await;
    assert_eq!(
        (&done["accepted"], &done["failed"]),
        (&json!(0), &json!(load.count)),
        "{done}"
    );
    assert!(done["error"].as_str().unwrap().contains(address), "{done}");
}
