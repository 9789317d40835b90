//! Relays that are killed while they work: nothing is lost, whichever of three replicas it hits.
//!
//! `SIO_TEST_RELAY_RECORDS` and `SIO_TEST_RELAY_KILLS` make them longer; the document states the figures of 100,000
//! records and 20 kills.

use std::time::Duration;

use integration::process::Process;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;

use super::outbox::Table;
use super::{Amqp, Kafka, Kind, Lines, RedisStream, Rig, setting};

/// How long nothing may come: a member of Kafka's that was killed is missed after six seconds, and the group is
/// balanced anew after that.
const PATIENCE: Duration = Duration::from_secs(40);
const REPLICAS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_redis_stream_is_lost_when_relays_are_killed() {
    kill_relays::<RedisStream>(2_000, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_kafka_topics_is_lost_when_relays_are_killed() {
    kill_relays::<Kafka>(2_000, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_amqp_queue_is_lost_when_relays_are_killed() {
    kill_relays::<Amqp>(2_000, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_table_is_lost_when_relays_are_killed() {
    kill_relays::<Table>(2_000, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_begins_again_at_the_next_record_of_kafka_does_not_skip_it() {
    let mut rig = Rig::new(Kafka::new().await).await;
    for number in 0..3 {
        // Each goes to the same partition, behind the one that was acknowledged before.
        rig.kind.append_numbers(number..number + 1).await;
        let mut relay = rig.relay(&[]);
        rig.take(usize::try_from(number).unwrap() + 1, PATIENCE).await;
        relay.signal("TERM");
        let status = relay.wait(integration::DEADLINE).await;
        assert!(status.success(), "{status}: {}", relay.stderr());
        assert_eq!(rig.lost_and_doubled(number + 1), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_read_again_after_a_kill_reach_a_client_once() {
    let count = setting("SIO_TEST_RELAY_RECORDS", 2_000);
    let num_kills = setting("SIO_TEST_RELAY_KILLS", 3);
    let mut rig = Rig::new(Lines::new().await).await;
    for number in 1..=num_kills + 1 {
        // Each one is given all lines from the first on, as a file would be read again.
        let mut relay = rig.relay(&[]);
        let (input, is_last) = (relay.take_stdin(), number > num_kills);
        let feeding = tokio::spawn(feed(input, count));
        let due = usize::try_from(count * number / (num_kills + 1)).unwrap();
        rig.take(due, PATIENCE).await;
        let mut open = None;
        match is_last {
            // The end of the text ends the relay.
            true => drop(feeding.await.unwrap()),
            // Its input stays open, so that it does not end by itself.
            false => {
                relay.signal("KILL");
                open = Some(feeding);
            }
        }
        let status = relay.wait(integration::DEADLINE).await;
        assert_eq!(status.success(), is_last, "{status}: {}", relay.stderr());
        if let Some(feeding) = open {
            // The pipe of one that was killed is broken.
            drop(feeding.await.unwrap());
        }
    }
    rig.take_the_rest().await;
    let (lost, doubled) = rig.lost_and_doubled(count);
    eprintln!("{count} lines, {num_kills} kills: {lost} lost, {doubled} doubled");
    assert_eq!((lost, doubled), (0, 0));
}

/// Writes lines until all are written, or the reader is gone. Returns the input, which is still open.
async fn feed(mut input: ChildStdin, count: u64) -> ChildStdin {
    let lines: String = (0..count).map(|number| format!("{{\"n\":{number}}}\n")).collect();
    let _ = input.write_all(lines.as_bytes()).await;
    input
}

/// Kills one of three relays after another while they move records.
async fn kill_relays<K: Kind>(count: u64, num_kills: u64) {
    let count = setting("SIO_TEST_RELAY_RECORDS", count);
    let num_kills = setting("SIO_TEST_RELAY_KILLS", num_kills);
    let mut rig = Rig::new(K::new().await).await;
    rig.kind.append_numbers(0..count / 2).await;
    let mut relays: Vec<Process> = Vec::new();
    for _ in 0..REPLICAS {
        relays.push(rig.relay(&[]));
    }
    let began = std::time::Instant::now();
    for number in 1..=num_kills {
        // While records come, and on the way to the second half, which is appended on the way.
        let due = usize::try_from(count * number / (num_kills + 1)).unwrap();
        if number == num_kills.div_ceil(2) {
            rig.kind.append_numbers(count / 2..count).await;
        }
        rig.take(due, PATIENCE).await;
        let mut killed = relays.remove(0);
        killed.signal("KILL");
        killed.wait(integration::DEADLINE).await;
        relays.push(rig.relay(&[]));
    }
    if num_kills == 0 {
        rig.kind.append_numbers(count / 2..count).await;
    }
    rig.take(usize::try_from(count).unwrap(), PATIENCE).await;
    let took = began.elapsed();
    for relay in &mut relays {
        // One that has only just begun may not know the signal yet.
        relay
            .expect_line(integration::DEADLINE, |line| line.starts_with("source "))
            .await;
        relay.signal("TERM");
        let status = relay.wait(integration::DEADLINE).await;
        assert!(status.success(), "{status}: {}", relay.stderr());
    }
    rig.take_the_rest().await;
    let (lost, doubled) = rig.lost_and_doubled(count);
    eprintln!("{count} records, {num_kills} kills, {REPLICAS} replicas: {lost} lost, {doubled} doubled, {took:.1?}");
    assert_eq!((lost, doubled), (0, 0));
}
