//! What a bridge does about beats that no bridge sends, and about defects of its own.

use std::time::Duration;

use manager_api::memory::MemoryBus;
use manager_api::{ClientManager, Emitter, ErrorKind};

use super::carried::play_server;
use super::support::{Member, Twin};
use crate::BridgeDuty;

#[tokio::test(start_paused = true)]
async fn a_bridge_goes_on_after_a_beat_with_an_absurd_term() {
    let bus = MemoryBus::new();
    let one = Twin::start(&bus);
    let control = bus.manager("control");
    for term in [u64::MAX, u64::MAX - 1, 1 << 40] {
        let beat = format!(r#"{{"bridge":"twins","id":"evil","n":1,"duty":"standby","term":{term},"healthy":true}}"#);
        tokio::time::sleep(Duration::from_millis(100)).await;
        control.publish(beat.into()).await.unwrap();
    }
    one.running.until(BridgeDuty::Active).await;
    assert_eq!(
        one.running.bridge.status().others,
        0,
        "what sends such a beat is not a bridge"
    );
    one.running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_bridge_with_other_sides_than_one_of_its_name_is_refused_and_the_other_one_says_so() {
    let bus = MemoryBus::new();
    let one = Twin::start(&bus);
    one.running.until(BridgeDuty::Active).await;
    let other = Twin::with_first_side(&bus, "another");
    let ended = tokio::time::timeout(Duration::from_secs(60), other.running.ended()).await;
    let error = ended.expect("it does not run").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(
        text.contains("twins") && text.contains("another") && text.contains("wire of python"),
        "{text}"
    );
    let status = one.running.bridge.status();
    assert!(!status.is_ready && status.has_other_sides, "{status:?}");
    assert_eq!(status.duty, BridgeDuty::Active, "it goes on");
    one.running.until(BridgeDuty::Active).await;
}

#[tokio::test(start_paused = true)]
async fn a_defect_of_any_task_ends_the_bridge_with_an_error() {
    for is_in_control in [true, false] {
        let bus = MemoryBus::new();
        let one = Twin::start(&bus);
        one.running.until(BridgeDuty::Active).await;
        match is_in_control {
            true => one.control.break_down(),
            false => one.b.break_down(),
        }
        Member::of(&bus, "a").await.emit(1).await;
        let ended = tokio::time::timeout(Duration::from_secs(60), one.running.ended()).await;
        let error = ended.expect("it ends by itself").unwrap_err();
        assert!(error.to_string().contains("defect"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_defect_while_a_bridge_ends_is_told() {
    let bus = MemoryBus::new();
    let one = Twin::start(&bus);
    one.running.until(BridgeDuty::Active).await;
    one.control.break_down();
    let error = one.running.stop().await.unwrap_err();
    assert!(error.to_string().contains("defect"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_defect_while_a_bridge_forwards_what_waits_at_its_end_is_told() {
    let bus = MemoryBus::new();
    let one = Twin::start(&bus);
    one.running.until(BridgeDuty::Active).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    a.emit(1).await;
    assert_eq!(b.numbers_up_to(1).await, [1]);
    one.b.block(true);
    a.emit(2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stopping = tokio::spawn(one.running.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    one.b.break_down();
    a.emit(3).await;
    let error = stopping.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("defect"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_defect_while_a_request_is_passed_on_ends_the_bridge_with_an_error() {
    let bus = MemoryBus::new();
    let one = Twin::start(&bus);
    one.running.until(BridgeDuty::Active).await;
    let _b = play_server(Member::of(&bus, "b").await, &["b1"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    one.b.break_down();
    let asking = tokio::spawn(async move { Emitter::new(bus.manager("a")).to("r").count_sockets().await });
    let ended = tokio::time::timeout(Duration::from_secs(60), one.running.ended()).await;
    let error = ended.expect("it ends by itself").unwrap_err();
    assert!(error.to_string().contains("defect"), "{error}");
    asking.abort();
}

#[tokio::test(start_paused = true)]
async fn a_bridge_whose_control_channel_is_closed_ends_with_an_error() {
    let bus = MemoryBus::new();
    let one = Twin::start(&bus);
    one.running.until(BridgeDuty::Active).await;
    one.control.close().await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), one.running.ended()).await;
    let error = ended.expect("it ends by itself").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("control channel"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_control_channel_ends_a_bridge_that_starts_and_none_that_runs() {
    let bus = MemoryBus::new();
    let one = Twin::start(&bus);
    one.running.until(BridgeDuty::Active).await;
    one.control.forbid(true);
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let status = one.running.bridge.status();
    assert!(!status.is_ready, "it has no lease: {status:?}");
    a.emit(1).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    one.control.forbid(false);
    assert_eq!(b.numbers_up_to(1).await, [1]);
    one.running.stop().await.unwrap();

    let other = Twin::start(&bus);
    other.control.forbid(true);
    let ended = tokio::time::timeout(Duration::from_secs(60), other.running.ended()).await;
    let error = ended.expect("it ends by itself").unwrap_err();
    assert!(error.is_refusal() && error.to_string().contains("forbidden"), "{error}");
}
