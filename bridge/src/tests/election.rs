//! Two bridges of one name: what is forwarded when one of them is gone, cut off, or has missed something.

use std::time::Duration;

use manager_api::memory::MemoryBus;
use tokio::time::Instant;

use super::support::{Member, Twin};
use crate::BridgeDuty;

async fn wait(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_forwards_exactly_what_the_killed_one_has_not() {
    let bus = MemoryBus::new();
    let (active, standby) = Twin::pair(&bus).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    for number in 1..=10 {
        a.emit(number).await;
    }
    assert_eq!(b.numbers_up_to(10).await, (1..=10).collect::<Vec<_>>());
    active.b.block(true);
    for number in 11..=20 {
        a.emit(number).await;
    }
    wait(100).await;
    active.running.kill().await;
    for number in 21..=30 {
        a.emit(number).await;
    }
    assert_eq!(b.numbers_up_to(30).await, (11..=30).collect::<Vec<_>>());
    assert_eq!(standby.running.counted(), (20, 0));
}

#[tokio::test(start_paused = true)]
async fn one_bridge_after_the_other_is_killed_and_started_again_and_nothing_is_lost_or_doubled() {
    let bus = MemoryBus::new();
    let (mut active, mut standby) = Twin::pair(&bus).await;
    let (mut a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    let mut number = 0;
    for _ in 0..10 {
        for _ in 0..50 {
            number += 1;
            a.emit(number).await;
            b.emit(number).await;
            wait(3).await;
        }
        active.running.kill().await;
        active = standby;
        standby = Twin::start(&bus);
        active.running.until(BridgeDuty::Active).await;
        standby.running.until(BridgeDuty::Standby).await;
        assert_eq!(active.running.counted().1, 0);
    }
    let expected: Vec<_> = (1..=number).collect();
    assert_eq!(a.numbers_up_to(number).await, expected);
    assert_eq!(b.numbers_up_to(number).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_ends_hands_over_at_once_and_loses_nothing() {
    let bus = MemoryBus::new();
    let (active, standby) = Twin::pair(&bus).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    let began = tokio::time::Instant::now();
    let stopping = tokio::spawn(active.running.stop());
    for number in 1..=200 {
        a.emit(number).await;
        wait(10).await;
    }
    assert_eq!(b.numbers_up_to(200).await, (1..=200).collect::<Vec<_>>());
    stopping.await.unwrap().unwrap();
    standby.running.until(BridgeDuty::Active).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(standby.running.counted().1, 0);
    // The last one forwards what waits before it ends.
    for number in 201..=300 {
        a.emit(number).await;
    }
    standby.running.stop().await.unwrap();
    assert_eq!(b.numbers_up_to(300).await, (201..=300).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_is_cut_off_from_the_other_stops_before_that_begins() {
    let bus = MemoryBus::new();
    let (active, standby) = Twin::pair(&bus).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    active.control.cut(true);
    for number in 1..=800 {
        a.emit(number).await;
        let both = active.running.is(BridgeDuty::Active) && standby.running.is(BridgeDuty::Active);
        assert!(!both, "at event {number}");
        // Its lease is over, long before the other one begins.
        assert!(number != 250 || active.running.is(BridgeDuty::Fenced));
        wait(10).await;
    }
    assert_eq!(b.numbers_up_to(800).await, (1..=800).collect::<Vec<_>>());
    let (first, second) = (active.running.counted(), standby.running.counted());
    assert!(first.0 > 0 && second.0 > 0, "{first:?} {second:?}");
    assert_eq!((first.0 + second.0, first.1 + second.1), (800, 0));
    active.control.cut(false);
    active.running.until(BridgeDuty::Standby).await;
    a.emit(801).await;
    assert_eq!(b.numbers_up_to(801).await, [801]);
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_has_missed_messages_lets_the_other_one_forward_them() {
    let bus = MemoryBus::new();
    let (active, standby) = Twin::pair(&bus).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    active.a.deafen(true);
    for number in 1..=10 {
        a.emit(number).await;
    }
    wait(10).await;
    active.a.deafen(false);
    assert_eq!(b.numbers_up_to(10).await, (1..=10).collect::<Vec<_>>());
    assert!(standby.running.is(BridgeDuty::Active));
    assert_eq!(standby.running.counted(), (10, 0));
    let gaps = active.running.bridge.status().sides[0].gaps;
    assert!(gaps > 0);
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_receives_marks_late_repeats_nothing_when_it_takes_over() {
    let bus = MemoryBus::new();
    let (active, standby) = Twin::pair(&bus).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    standby.b.delay(true);
    for number in 1..=10 {
        a.emit(number).await;
    }
    assert_eq!(b.numbers_up_to(10).await.len(), 10);
    active.running.stop().await.unwrap();
    a.emit(11).await;
    wait(7_000).await;
    assert!(standby.running.is(BridgeDuty::Active));
    assert_eq!(
        standby.running.counted(),
        (0, 0),
        "it does not know yet what was forwarded"
    );
    standby.b.delay(false);
    assert_eq!(b.numbers_up_to(11).await, [11]);
}

#[tokio::test(start_paused = true)]
async fn what_only_the_other_bridge_has_received_is_not_overtaken() {
    let bus = MemoryBus::new();
    let (active, _standby) = Twin::pair(&bus).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    a.emit(0).await;
    assert_eq!(b.numbers_up_to(0).await, [0]);
    active.a.deafen(true);
    for number in 1..=5 {
        a.emit(number).await;
    }
    wait(10).await;
    active.a.deafen(false);
    for number in 6..=10 {
        a.emit(number).await;
    }
    assert_eq!(b.numbers_up_to(10).await, (1..=10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_bridge_without_others_goes_on_at_once_after_a_gap() {
    let bus = MemoryBus::new();
    let one = Twin::start(&bus);
    one.running.until(BridgeDuty::Active).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    one.a.deafen(true);
    a.emit(1).await;
    wait(10).await;
    one.a.deafen(false);
    let began = Instant::now();
    a.emit(2).await;
    assert_eq!(b.numbers_up_to(2).await, [2]);
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_may_have_missed_marks_admits_what_it_does_not_know() {
    let bus = MemoryBus::new();
    let (active, standby) = Twin::pair(&bus).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    standby.b.deafen(true);
    for number in 1..=10 {
        a.emit(number).await;
    }
    assert_eq!(b.numbers_up_to(10).await.len(), 10);
    standby.b.deafen(false);
    active.running.kill().await;
    standby.running.until(BridgeDuty::Active).await;
    a.emit(11).await;
    assert_eq!(b.numbers_up_to(11).await, [11], "what may be forwarded is not repeated");
    assert_eq!(standby.running.counted(), (1, 10));
}

#[tokio::test(start_paused = true)]
async fn a_standby_forgets_what_the_active_one_will_not_forward() {
    let bus = MemoryBus::new();
    let (active, standby) = Twin::pair(&bus).await;
    let a = Member::of(&bus, "a").await;
    // Accepted, and then lost: no mark is ever seen.
    active.b.cut(true);
    a.emit(1).await;
    wait(1_000).await;
    let waiting = || standby.running.bridge.status().pairs[0].waiting;
    assert_eq!(waiting(), 1);
    wait(32_000).await;
    assert_eq!(waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_cannot_publish_lets_the_other_one() {
    let bus = MemoryBus::new();
    let (active, standby) = Twin::pair(&bus).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    active.b.refuse(true);
    for number in 1..=10 {
        a.emit(number).await;
    }
    assert_eq!(b.numbers_up_to(10).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(standby.running.counted(), (10, 0));
    assert_eq!(active.running.counted(), (0, 0), "what was not sent is not lost");
    let is_stalled = active.running.bridge.status().pairs[0].is_stalled;
    assert!(!is_stalled, "a standby publishes nothing, and cannot know");
}
