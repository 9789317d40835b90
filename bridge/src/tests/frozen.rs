//! A broker that accepts messages and says nothing about them: what is given up is not forwarded by another bridge.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use manager_api::cluster::{Change, Selection};
use manager_api::memory::MemoryBus;
use manager_api::message::{Message, Target};
use manager_api::{ClientManager, NamespaceName};

use super::support::{Member, Running, Tap, Twin};
use crate::{Bridge, BridgeDuty, BridgeOptions, Side};

async fn wait(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

fn is_each_once(numbers: &[u32]) -> bool {
    numbers.iter().collect::<HashSet<_>>().len() == numbers.len()
}

#[tokio::test(start_paused = true)]
async fn events_of_which_the_confirmation_was_lost_are_not_repeated_by_another_bridge() {
    let bus = MemoryBus::new();
    let (one, other) = Twin::pair(&bus).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    one.b.freeze();
    other.b.freeze();
    for number in 1..=600 {
        a.emit(number).await;
        wait(50).await;
    }
    assert!(
        other.running.bridge.status().takeovers > 0,
        "it was to forward meanwhile"
    );
    one.b.thaw().await;
    other.b.thaw().await;
    wait(10_000).await;
    a.emit(601).await;
    let numbers = b.numbers_up_to(601).await;
    assert!(is_each_once(&numbers), "{numbers:?}");
    let lost = one.running.counted().1 + other.running.counted().1;
    // Those that were given up were in the socket of the broker, and arrived after all.
    assert_eq!(numbers.len(), 601, "{lost} given up");
    assert!(lost > 0);
    let status = other.running.bridge.status();
    assert_eq!(
        status.pairs[0].lost_unsettled, 0,
        "each bridge knows exactly what was given up"
    );
}

#[tokio::test(start_paused = true)]
async fn few_events_are_given_up_to_a_broker_that_confirms_nothing() {
    let bus = MemoryBus::new();
    let (one, other) = Twin::pair(&bus).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    a.emit(0).await;
    assert_eq!(b.numbers_up_to(0).await, [0]);
    one.b.freeze();
    other.b.freeze();
    for number in 1..=100 {
        a.emit(number).await;
    }
    wait(3_000).await;
    for number in 101..=1_000 {
        a.emit(number).await;
    }
    wait(20_000).await;
    let lost = one.running.counted().1 + other.running.counted().1;
    assert!(
        (100..120).contains(&lost),
        "{lost} given up: one at a time shows whether the broker is back"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_has_not_heard_what_another_one_gave_up_repeats_nothing() {
    let bus = MemoryBus::new();
    let (active, standby) = Twin::pair(&bus).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    active.b.freeze();
    // The first beats that tell it do not reach the other one.
    standby.control.deafen(true);
    for number in 1..=10 {
        a.emit(number).await;
    }
    wait(2_600).await;
    standby.control.deafen(false);
    wait(600).await;
    let frozen = active.b.clone();
    active.running.kill().await;
    standby.running.until(BridgeDuty::Active).await;
    frozen.thaw().await;
    a.emit(11).await;
    let numbers = b.numbers_up_to(11).await;
    assert!(is_each_once(&numbers), "{numbers:?}");
    assert_eq!(standby.running.counted(), (1, 10), "it admits that it does not know");
}

/// A client enters many rooms.
fn entering(count: usize) -> Message {
    let clients = Selection {
        namespace: NamespaceName::root(),
        target: Target::Rooms(vec!["id".into()]),
        skip: Vec::new(),
        except: Vec::new(),
    };
    let rooms = (0..count).map(|room| room.to_string().as_str().into());
    Message::Members {
        clients,
        change: Change::Join(rooms.collect()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_many_rooms_takes_no_more_publishes_at_a_time_than_others() {
    let bus = MemoryBus::new();
    let to = Tap::new(&bus, "b");
    let options = BridgeOptions {
        max_in_flight: 8,
        ..BridgeOptions::default()
    };
    let bridge = Bridge::builder()
        .side(Side::new("a", bus.manager("a")))
        .side(Side::new("b", to.clone()))
        .options(options)
        .build()
        .unwrap();
    let running = Running::start(bridge);
    running.until(BridgeDuty::Active).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    a.emit(0).await;
    assert_eq!(b.numbers_up_to(0).await, [0]);
    wait(1_000).await;
    to.block(true);
    let before = to.num_publishes.load(Ordering::SeqCst);
    for number in 1..=5 {
        a.emit(number).await;
    }
    for _ in 0..3 {
        a.send(entering(100)).await;
    }
    wait(1_000).await;
    let begun = to.num_publishes.load(Ordering::SeqCst) - before;
    assert_eq!(begun, 8);
    to.block(false);
    let mut methods = Vec::new();
    while methods.len() < 308 {
        methods.push(b.next().await.message.method());
    }
    let one = std::iter::once("sio_members").chain(std::iter::repeat_n("enter_room", 100));
    let events = std::iter::repeat_n("emit", 5);
    let expected: Vec<_> = events.chain(std::iter::repeat_n(one, 3).flatten()).collect();
    assert_eq!(methods, expected);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_beat_that_names_unknown_sides_or_marks_changes_nothing() {
    let bus = MemoryBus::new();
    let one = Twin::start(&bus);
    let control = bus.manager("control");
    let beat = format!(
        r#"{{"bridge":"twins","id":"evil","n":1,"duty":"standby","term":0,"healthy":true,
            "given_up_before":{},"given_up":[["nowhere","00"],["b","?"]]}}"#,
        u64::MAX
    );
    control.publish(beat.into()).await.unwrap();
    one.running.until(BridgeDuty::Active).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    a.emit(1).await;
    assert_eq!(b.numbers_up_to(1).await, [1]);
    assert_eq!(one.running.counted().1, 0);
    one.running.stop().await.unwrap();
}
