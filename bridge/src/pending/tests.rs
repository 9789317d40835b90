//! What is left when a standby takes over.

use manager_api::message::{Emit, Message};
use manager_api::{EventName, NamespaceName, Payload};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn item(number: u8, size: usize) -> Arc<Item> {
    let payload = Payload::new(&number).unwrap();
    let emit = Emit::new(NamespaceName::root(), EventName::new("e").unwrap(), payload);
    Arc::new(Item {
        origin: None,
        message: Message::Emit(emit),
        mark: Mark::new([number; 16]),
        size,
        asked: None,
    })
}

fn left(pending: &mut Pending) -> Vec<u128> {
    let marks = std::iter::from_fn(|| pending.take()).map(|(_, item, _)| item.mark.to_string());
    marks
        .map(|mark| u128::from_str_radix(&mark[..2], 16).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_standby_is_left_with_what_was_not_seen_on_the_other_side() {
    let now = Instant::now();
    let mut pending = Pending::new(now);
    let repeated = item(2, 10);
    for next in [
        item(1, 10),
        repeated.clone(),
        item(3, 10),
        repeated.clone(),
        item(4, 10),
    ] {
        assert!(pending.arrive(&next, now));
    }
    for seen in [1, 2, 4] {
        pending.see(Mark::new([seen; 16]), now);
    }
    assert_eq!((pending.take_over(now), pending.len()), (0, 2));
    assert_eq!(
        left(&mut pending),
        [3, 2],
        "the first of two identical ones was forwarded"
    );
}

#[tokio::test(start_paused = true)]
async fn a_mark_may_come_first_and_counts_for_one_message_within_its_time() {
    let now = Instant::now();
    let mut pending = Pending::new(now);
    let repeated = item(1, 10);
    pending.see(repeated.mark, now);
    pending.see(repeated.mark, now + 3 * SECOND);
    assert!(!pending.arrive(&repeated, now + 4 * SECOND), "forwarded");
    // The first mark has met its message, so that it is the second that waits.
    pending.expire_early(now + 2 * SECOND);
    assert!(!pending.arrive(&repeated, now + 4 * SECOND), "forwarded");
    assert!(pending.arrive(&repeated, now + 4 * SECOND), "a third one");
    pending.see(item(2, 1).mark, now + 5 * SECOND);
    pending.expire_early(now + 6 * SECOND);
    assert!(pending.arrive(&item(2, 10), now + 6 * SECOND), "its mark is too old");
    pending.see(Mark::UNKNOWN, now);
    assert_eq!(pending.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_arrived_before_a_bridge_was_settled_is_given_up_and_counted() {
    let now = Instant::now();
    let mut pending = Pending::new(now);
    pending.arrive(&item(1, 10), now);
    pending.unsettle(now + 2 * SECOND);
    pending.arrive(&item(2, 10), now + SECOND);
    assert_eq!(pending.settled_for(now + SECOND), None);
    assert_eq!(pending.settled_for(now + 3 * SECOND), None, "some of it waits");
    pending.arrive(&item(3, 10), now + 2 * SECOND);
    // The active bridge has forwarded one of them.
    pending.see(item(1, 10).mark, now + 2 * SECOND);
    assert_eq!(pending.take_over(now + 3 * SECOND), 1);
    assert_eq!(left(&mut pending), [3]);
}

#[tokio::test(start_paused = true)]
async fn a_bridge_is_settled_once_the_active_one_has_nothing_left_of_the_time_before() {
    let now = Instant::now();
    let mut pending = Pending::new(now);
    pending.unsettle(now + 2 * SECOND);
    pending.arrive(&item(1, 10), now + SECOND);
    pending.arrive(&item(2, 10), now + 2 * SECOND);
    pending.prune(now, now + SECOND);
    assert_eq!((pending.len(), pending.settled_for(now + 3 * SECOND)), (2, None));
    pending.prune(now, now + 9 * SECOND);
    assert_eq!(
        (pending.len(), pending.settled_for(now + 3 * SECOND)),
        (1, Some(SECOND))
    );
    assert_eq!(pending.take_over(now + 3 * SECOND), 0);
    assert_eq!(left(&mut pending), [2]);
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_forwarded_message_of_the_same_sender_is_settled() {
    let now = Instant::now();
    let mut pending = Pending::new(now);
    let of = |number, origin: &str| {
        let plain = Arc::into_inner(item(number, 10)).unwrap();
        let origin = Some(HostId::from(origin));
        Arc::new(Item { origin, ..plain })
    };
    pending.unsettle(now + SECOND);
    for next in [of(1, "a"), of(2, "b"), of(3, "a")] {
        pending.arrive(&next, now);
    }
    pending.arrive(&of(4, "a"), now + SECOND);
    pending.arrive(&of(5, "a"), now + SECOND);
    // The marks of the first ones were missed.
    pending.see(of(5, "a").mark, now + SECOND);
    assert_eq!(
        (pending.len(), pending.settled_for(now + SECOND)),
        (2, None),
        "that of the other sender is left"
    );
    pending.arrive(&of(6, "b"), now + SECOND);
    pending.see(of(6, "b").mark, now + SECOND);
    assert_eq!(pending.settled_for(now + SECOND), Some(Duration::ZERO));
    assert_eq!(left(&mut pending), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_standby_keeps_bounded_bytes_and_still_knows_how_many_it_could_not_keep() {
    let now = Instant::now();
    let mut pending = Pending::new(now);
    for number in 0..10 {
        pending.arrive(&item(number, 1_000), now);
        pending.shed(6_000);
    }
    assert!(pending.bytes() <= 6_000, "{}", pending.bytes());
    // One of those that are marks alone was forwarded after all.
    pending.see(Mark::new([0; 16]), now);
    pending.see(Mark::new([1; 16]), now);
    let lost = pending.take_over(now);
    let rest = left(&mut pending);
    assert_eq!(lost as usize + rest.len(), 9, "{lost} {rest:?}");
    assert!(lost >= 4 && rest.last() == Some(&9), "{lost} {rest:?}");
}

#[tokio::test(start_paused = true)]
async fn messages_keep_their_order_when_publishing_begins_anew() {
    let now = Instant::now();
    let mut pending = Pending::new(now);
    for number in 1..=4 {
        pending.arrive(&item(number, 10), now);
    }
    let first = pending.take().unwrap().0;
    let second = pending.take().unwrap().0;
    assert!(pending.remove(first) && pending.contains(second) && !pending.contains(first));
    pending.restart();
    assert_eq!(left(&mut pending), [2, 3, 4]);
    assert!(pending.take().is_none());
    assert!(pending.remove(second) && !pending.remove(second));
}

#[tokio::test(start_paused = true)]
async fn a_standby_forgets_what_is_older_than_all_that_the_active_one_has() {
    let now = Instant::now();
    let mut pending = Pending::new(now);
    pending.arrive(&item(1, 10), now);
    pending.arrive(&item(2, 10), now + SECOND);
    pending.prune(now + SECOND, now + SECOND);
    assert_eq!(pending.oldest(), Some(now + SECOND));
    assert_eq!(left(&mut pending), [2]);
    assert!(!pending.fits(1_000, 1_000));
    pending.prune(now + 2 * SECOND, now + SECOND);
    assert!(pending.fits(1_000, 10) && pending.bytes() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_standby_with_little_room_keeps_the_newest_messages() {
    let now = Instant::now();
    let mut pending = Pending::new(now);
    for number in 0..100 {
        pending.arrive(&item(number, 100), now);
        pending.shed(1_024);
    }
    assert!(pending.bytes() <= 1_024, "{}", pending.bytes());
    pending.take_over(now);
    assert_eq!(left(&mut pending).last(), Some(&99));
}
