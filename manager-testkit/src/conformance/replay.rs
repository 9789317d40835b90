//! Cases of logs: the optional part of the contract for brokers that keep the messages of a channel.
//!
//! Each begins with [`replay_of`], which ends it where the backend names a reason for having none. How much a broker keeps,
//! and how a log ends, is its own: each has tests of that beside the suite.

use std::time::Duration;

use futures_util::future::join_all;
use manager_api::replay::{Epoch, Placed, Position, Replay, Replayed, Start};
use manager_api::{ClientManager, ErrorKind, Incoming, ManagerOptions, Subscription};

use super::support::*;
use super::{Backend, Fault};

/// All that a log has.
const ALL: Start = Start::Past(Duration::from_secs(3600));
/// What is published from now on.
const NEW: Start = Start::Past(Duration::ZERO);

/// Readers that begin before, while and after two managers publish receive the same messages in the same order, each at the
/// same position, and positions increase. A subscription receives them in that order, too.
///
/// Which message of which manager comes first is not known before: the reader that began before all decides, and the others
/// are compared with it.
pub async fn readers_agree_about_order_and_positions(backend: &dyn Backend) {
    const COUNT: usize = 300;
    let options = options();
    let managers = [backend.manager(options.clone()).await, backend.manager(options).await];
    let Some(replay) = replay_of(backend, &*managers[0]) else {
        return;
    };
    let mut subscription = managers[1].subscribe().await.expect("subscribe");
    let mut before = read(replay, NEW).await;
    let publishing = managers.iter().enumerate().map(|(at, manager)| {
        let numbers = at * COUNT..(at + 1) * COUNT;
        join_all(numbers.map(|number| manager.publish(numbered(number))))
    });
    let while_publishing = async {
        let mut meanwhile = read(replay, ALL).await;
        expect_any(&mut meanwhile.messages, 2 * COUNT).await
    };
    let (accepted, from_before, from_meanwhile) = tokio::join!(
        join_all(publishing),
        expect_any(&mut before.messages, 2 * COUNT),
        while_publishing
    );
    assert!(accepted.iter().flatten().all(Result::is_ok));
    let after = read(replay, ALL).await;
    let positions: Vec<_> = from_before.iter().map(|placed| placed.position).collect();
    assert!(is_end(after.last, &positions), "the end of the past: {:?}", after.last);
    let mut after = after.messages;
    assert_eq!(
        expect_any(&mut after, 2 * COUNT).await,
        from_before,
        "a reader of the past"
    );
    assert_eq!(from_meanwhile, from_before, "one that began meanwhile");
    let increases = |pair: &[Placed]| pair[0].position < pair[1].position;
    assert!(from_before.windows(2).all(increases), "the positions increase");
    for placed in &from_before {
        assert_eq!(next_message(&mut subscription).await, placed.message, "a subscription");
    }
}

/// Readers that begin anywhere while messages are published receive each one behind their beginning once, in order.
///
/// Four of them begin at rest: with nothing in the past, at the end, and behind each message; one begins while two hundred
/// publishes are in flight, where a reader that first reads the past and then subscribes would miss some.
pub async fn a_reader_yields_the_past_then_what_is_new(backend: &dyn Backend) {
    const COUNT: usize = 200;
    let options = options();
    let manager = backend.manager(options).await;
    let Some(replay) = replay_of(backend, &*manager) else {
        return;
    };
    assert_eq!(read(replay, ALL).await.last, None, "nothing is past");
    let mut all = read(replay, ALL).await;
    let mut positions = Vec::new();
    for number in 0..3 {
        manager.publish(numbered(number)).await.expect("publish");
        positions.push(expect_placed(&mut all.messages, number).await);
    }
    let new = read(replay, NEW).await;
    assert_eq!(new.last, None, "nothing that it reads is past");
    let mut behind = Vec::new();
    for (number, position) in positions.iter().enumerate() {
        let read = read(replay, Start::After(*position)).await;
        match number {
            2 => assert_eq!(read.last, None, "nothing is past behind the last one"),
            _ => assert!(
                is_end(read.last, &positions),
                "the end of the past behind {number}: {:?}",
                read.last
            ),
        }
        behind.push((number + 1, read.messages));
    }
    let publishing = join_all((3..COUNT).map(|number| manager.publish(numbered(number))));
    let meanwhile = async {
        let read = read(replay, Start::After(positions[0])).await;
        behind.push((1, read.messages));
    };
    let (accepted, ()) = tokio::join!(publishing, meanwhile);
    assert!(accepted.iter().all(Result::is_ok));
    behind.push((3, all.messages));
    behind.push((3, new.messages));
    for (first, mut messages) in behind {
        for number in first..COUNT {
            expect_placed(&mut messages, number).await;
        }
        assert_eq!(messages.try_recv(), None, "nothing comes twice");
    }
}

/// A reader whose buffer holds one message, and that takes them after many more were published, misses none.
///
/// A subscription may drop what does not fit, with a gap. A log still has it.
pub async fn a_slow_reader_misses_nothing(backend: &dyn Backend) {
    const COUNT: usize = 1000;
    let options = ManagerOptions {
        max_buffered_bytes: 1000,
        ..options()
    };
    let manager = backend.manager(options).await;
    let Some(replay) = replay_of(backend, &*manager) else {
        return;
    };
    let mut slow = read(replay, NEW).await;
    let accepted = join_all((0..COUNT).map(|number| manager.publish(padded(number, 1000)))).await;
    assert!(accepted.iter().all(Result::is_ok));
    let mut late = read(replay, ALL).await;
    for number in 0..COUNT {
        expect_placed(&mut slow.messages, number).await;
        expect_placed(&mut late.messages, number).await;
    }
}

/// A position of another log, or that the log has not reached, is a gap, and then all that the log has.
///
/// The positions are made up: a log that really was made anew is a matter of each broker.
pub async fn a_position_that_is_not_in_the_log_is_a_gap(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options).await;
    let Some(replay) = replay_of(backend, &*manager) else {
        return;
    };
    let mut all = read(replay, ALL).await;
    for number in 0..3 {
        manager.publish(numbered(number)).await.expect("publish");
    }
    let first = expect_placed(&mut all.messages, 0).await;
    let (offset, epoch) = (first.offset, Epoch(first.epoch.0 ^ 1));
    for elsewhere in [
        Position { offset, epoch },
        Position::new(first.epoch, u64::MAX, u64::MAX),
        Position::new(epoch, u64::MAX, u64::MAX),
    ] {
        let mut read = read(replay, Start::After(elsewhere)).await;
        let gap = next(&mut read.messages).await;
        assert!(matches!(gap, Incoming::Gap { .. }), "{elsewhere}: {gap:?}");
        for number in 0..3 {
            expect_placed(&mut read.messages, number).await;
        }
    }
}

/// A reader that was dropped leaves nothing on the broker; one of a closed manager ends, and there is no other.
pub async fn a_reader_ends_when_it_is_dropped_or_its_manager_closed(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options.clone()).await;
    let Some(replay) = replay_of(backend, &*manager) else {
        return;
    };
    let [dropped, mut kept] = [read(replay, NEW).await, read(replay, NEW).await];
    drop(dropped);
    let at_most = async |count| backend.num_consumers(&options.channel).await <= count;
    eventually("the dropped one is gone", || at_most(1)).await;
    manager.publish(numbered(0)).await.expect("publish");
    expect_placed(&mut kept.messages, 0).await;
    manager.close().await.expect("close");
    while soon("end of the log", kept.messages.recv()).await.is_some() {}
    let read = replay.read_from(ALL).await;
    assert_eq!(read.expect_err("closed").kind(), ErrorKind::Closed);
    eventually("no consumer is left", || at_most(0)).await;
}

/// After a restart of the broker a reader continues behind the last message, at higher positions, if the log was kept;
/// otherwise a gap says so.
///
/// Where [`restart_loses_messages`](Backend::restart_loses_messages) is false a gap is a failure, and so is a message that
/// comes twice.
pub async fn a_log_is_read_on_after_a_restart(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options).await;
    let Some(replay) = replay_of(backend, &*manager) else {
        return;
    };
    let mut read = read(replay, NEW).await;
    for number in 0..3 {
        manager.publish(numbered(number)).await.expect("publish");
    }
    let mut last = expect_placed(&mut read.messages, 0).await;
    for number in 1..3 {
        last = expect_placed(&mut read.messages, number).await;
    }
    backend.restart().await;
    soon("publish", publish_until_accepted(&*manager, 3)).await;
    let mut has_gap = false;
    loop {
        match next(&mut read.messages).await {
            Incoming::Message(placed) if number_of(&placed.message) == 3 => {
                assert!(has_gap || placed.position > last, "{} behind {last}", placed.position);
                break;
            }
            Incoming::Gap { .. } if backend.restart_loses_messages() => has_gap = true,
            unexpected => panic!("expected the message behind the restart, got {unexpected:?}"),
        }
    }
}

/// What is published while the connection of a reader is cut comes after it, without a gap.
pub async fn a_log_is_read_on_after_a_lost_connection(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options.clone()).await;
    if replay_of(backend, &*manager).is_none() {
        return;
    }
    let on_a_line = backend.manager_on_link(options).await;
    if !is_supported(backend, Fault::LosesAnswers, on_a_line.is_some()) {
        return;
    }
    let (reading, line) = on_a_line.expect("it is supported");
    let replay = reading.replay().expect("each manager has a log");
    let mut read = read(replay, NEW).await;
    manager.publish(numbered(0)).await.expect("publish");
    expect_placed(&mut read.messages, 0).await;
    line.cut().await;
    let accepted = join_all((1..250).map(|number| manager.publish(numbered(number)))).await;
    assert!(accepted.iter().all(Result::is_ok));
    line.mend();
    for number in 1..250 {
        expect_placed(&mut read.messages, number).await;
    }
}

/// Returns the log of a manager; `None` if the backend tells why there is none.
fn replay_of<'a>(backend: &dyn Backend, manager: &'a dyn ClientManager) -> Option<&'a dyn Replay> {
    let replay = manager.replay();
    is_supported(backend, Fault::Replay, replay.is_some()).then_some(replay)?
}

/// Begins to read.
async fn read(replay: &dyn Replay, start: Start) -> Replayed {
    soon("read", replay.read_from(start)).await.expect("read")
}

/// Returns whether `last` is the end of the past: the last message has reached it, and the one before has not.
fn is_end(last: Option<Position>, positions: &[Position]) -> bool {
    let [.., before, end] = positions else { return false };
    last.is_some_and(|last| last > *before && last <= *end)
}

/// Receives `count` messages of any numbers, and no gap.
async fn expect_any(messages: &mut Subscription<Placed>, count: usize) -> Vec<Placed> {
    let mut received = Vec::new();
    while received.len() < count {
        match next(messages).await {
            Incoming::Message(placed) => received.push(placed),
            unexpected => panic!("expected message {}, got {unexpected:?}", received.len()),
        }
    }
    assert_eq!(messages.try_recv(), None, "nothing comes twice");
    received
}

/// Receives the message with this number, and returns its position.
async fn expect_placed(messages: &mut Subscription<Placed>, number: usize) -> Position {
    match next(messages).await {
        Incoming::Message(placed) => {
            assert_eq!(number_of(&placed.message), number);
            placed.position
        }
        unexpected => panic!("expected message {number}, got {unexpected:?}"),
    }
}
