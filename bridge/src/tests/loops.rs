//! Each message reaches each other fleet once, in order, in any topology.

use std::time::Duration;

use manager_api::ClientManager;
use manager_api::memory::MemoryBus;
use manager_api::message::{Envelope, Message};
use manager_api::wire::python;

use super::support::{Member, Twin, bridge, event};
use crate::fingerprint;

const COUNT: u32 = 500;

#[tokio::test(start_paused = true)]
async fn each_message_reaches_the_other_fleet_once_and_in_order() {
    let bus = MemoryBus::new();
    let running = bridge(&bus, "b", &["a", "b"]).await;
    let (mut a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    for number in 1..=COUNT {
        a.emit(number).await;
        b.emit(number).await;
    }
    let expected: Vec<_> = (1..=COUNT).collect();
    assert_eq!(a.numbers_up_to(COUNT).await, expected);
    assert_eq!(b.numbers_up_to(COUNT).await, expected);
    assert_eq!(running.counted(), (2 * u64::from(COUNT), 0));
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_bridge_with_three_sides_brings_each_message_to_both_others_once() {
    let bus = MemoryBus::new();
    let running = bridge(&bus, "b", &["a", "b", "c"]).await;
    let [mut a, mut b, mut c] = [
        Member::of(&bus, "a").await,
        Member::of(&bus, "b").await,
        Member::of(&bus, "c").await,
    ];
    a.emit(1).await;
    assert_eq!((b.numbers_up_to(1).await, c.numbers_up_to(1).await), (vec![1], vec![1]));
    b.emit(2).await;
    assert_eq!((a.numbers_up_to(2).await, c.numbers_up_to(2).await), (vec![2], vec![2]));
    // A last one shows that nothing came twice.
    c.emit(3).await;
    assert_eq!((a.numbers_up_to(3).await, b.numbers_up_to(3).await), (vec![3], vec![3]));
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn bridges_in_a_ring_pass_no_message_round() {
    let bus = MemoryBus::new();
    let ring = [
        bridge(&bus, "ab", &["a", "b"]).await,
        bridge(&bus, "bc", &["b", "c"]).await,
        bridge(&bus, "ca", &["c", "a"]).await,
    ];
    let [a, mut b, mut c] = [
        Member::of(&bus, "a").await,
        Member::of(&bus, "b").await,
        Member::of(&bus, "c").await,
    ];
    for number in 1..=COUNT {
        a.emit(number).await;
    }
    let expected: Vec<_> = (1..=COUNT).collect();
    assert_eq!(b.numbers_up_to(COUNT).await, expected);
    assert_eq!(c.numbers_up_to(COUNT).await, expected);
    // What has a mark goes no further: it is seen by the bridge between b and c, and stays there.
    let forwarded: u64 = ring.iter().map(|running| running.counted().0).sum();
    assert_eq!(forwarded, 2 * u64::from(COUNT));
}

#[tokio::test(start_paused = true)]
async fn two_bridges_of_different_names_side_by_side_bring_each_message_twice_and_not_round() {
    let bus = MemoryBus::new();
    let two = [
        bridge(&bus, "one", &["a", "b"]).await,
        bridge(&bus, "two", &["a", "b"]).await,
    ];
    let (mut a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    a.emit(1).await;
    b.emit(2).await;
    a.emit(3).await;
    b.emit(4).await;
    let (mut at_a, mut at_b) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        at_b.push(number(&mut b).await);
        at_a.push(number(&mut a).await);
    }
    at_a.sort();
    at_b.sort();
    assert_eq!((at_a, at_b), (vec![2, 2, 4, 4], vec![1, 1, 3, 3]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    for running in &two {
        assert_eq!(running.counted(), (4, 0), "nothing has gone round");
    }
}

async fn number(member: &mut Member) -> u32 {
    match member.next().await.message {
        manager_api::message::Message::Emit(emit) => emit.payload.parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn two_bridges_of_one_name_bring_each_message_once_also_identical_ones() {
    let bus = MemoryBus::new();
    let (active, standby) = Twin::pair(&bus).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    for _ in 0..COUNT {
        a.emit(7).await;
    }
    a.emit(8).await;
    let numbers = b.numbers_up_to(8).await;
    assert_eq!(numbers.len(), COUNT as usize + 1);
    assert_eq!(active.running.counted().0, u64::from(COUNT) + 1);
    assert_eq!(standby.running.counted(), (0, 0));
    let waiting: u64 = standby
        .running
        .bridge
        .status()
        .pairs
        .iter()
        .map(|pair| pair.waiting)
        .sum();
    assert_eq!(waiting, 0, "the standby has seen all marks");
}

#[tokio::test(start_paused = true)]
async fn a_mark_of_long_ago_holds_no_message_back_at_a_bridge_without_others() {
    let bus = MemoryBus::new();
    let running = bridge(&bus, "alone", &["a", "b"]).await;
    let (a, mut b) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    let mut envelope = Envelope::new(Some(a.host.clone()), Message::Emit(event(1)));
    let (mark, _) = fingerprint::of("alone", "a", &mut envelope);
    // As an earlier bridge of the name has brought it.
    let brought = Envelope {
        host_id: Some("earlier".into()),
        mark: Some(mark),
        ..envelope
    };
    bus.manager("b").publish(python::encode(&brought)).await.unwrap();
    assert_eq!(b.numbers_up_to(1).await, [1]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    a.emit(1).await;
    a.emit(2).await;
    assert_eq!(b.numbers_up_to(2).await, [1, 2], "an identical message is another one");
    running.stop().await.unwrap();
}
