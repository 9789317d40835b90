//! `sio emit --lines` with a frozen broker: its report for each line, and what was published.

use std::collections::BTreeSet;
use std::time::Duration;

use integration::brokers::RabbitBroker;
use integration::process::Process;
use integration::{DEADLINE, tools};
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, Incoming, Subscription};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

/// Lines that the broker confirms, and lines while it stands still.
const NUM_BEFORE: u64 = 100;
const NUM_FROZEN: u64 = 100;
/// The longest time of a line, short because the test waits for it.
const TIMEOUT: &str = "3s";
/// The longest wait for a line before there is a connection, longer than that.
const PATIENCE: Duration = Duration::from_secs(5);

/// The number of a message's line; nothing for what servers and commands ask each other.
fn number(message: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(message).ok()?;
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    value["data"].as_array()?.first()?.as_u64()
}

/// The numbers that come up to `last`, each once and in order.
async fn until(subscription: &mut Subscription, last: u64) -> BTreeSet<u64> {
    let mut numbers = BTreeSet::new();
    while !numbers.contains(&last) {
        let incoming = timeout(DEADLINE, subscription.recv()).await;
        match incoming.expect("something comes").expect("the subscription goes on") {
            Incoming::Message(message) => {
                if let Some(number) = number(&message) {
                    assert!(numbers.last() < Some(&number), "{number} comes once and in order");
                    numbers.insert(number);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    numbers
}

/// Sends lines, one after the other, until one was published, and returns its number. On a busy machine connecting takes longer than a
/// line may: those before it were rightly refused.
async fn until_connected(lines: &mut Process, subscription: &mut Subscription) -> u64 {
    let begun = Instant::now();
    let mut number = 0;
    while begun.elapsed() < DEADLINE {
        number += 1;
        lines.send_line(&number.to_string()).await;
        if timeout(PATIENCE, until(subscription, number)).await.is_ok() {
            return number;
        }
    }
    panic!("no line was published within {DEADLINE:?}: {}", lines.stderr());
}

fn sio(url: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new(tools::sio());
    command.args(arguments).args(["--url", url]);
    command.env_remove("SIO_URL_FILE").env_remove("RUST_LOG");
    Process::spawn("sio", command)
}

/// The numbers of the lines that `stderr` says were refused, by whether it says that they may have been published.
fn refused(stderr: &str) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut maybe, mut never) = (BTreeSet::new(), BTreeSet::new());
    for line in stderr.lines() {
        let Some((number, reason)) = line
            .strip_prefix("sio: line ")
            .and_then(|rest| rest.split_once(" was refused: "))
        else {
            continue;
        };
        let number = number.parse().unwrap();
        match reason.contains("may have been published") {
            true => maybe.insert(number),
            false => never.insert(number),
        };
    }
    (maybe, never)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_a_frozen_broker_did_not_confirm_are_said_to_be_maybe_published() {
    let broker = RabbitBroker::start().await;
    let listener = AmqpManager::new(&broker.url(), AmqpOptions::default()).unwrap();
    let mut subscription = listener.subscribe().await.unwrap();
    let mut lines = sio(
        &broker.url(),
        &["emit", "--lines", "--keep-going", "--timeout", TIMEOUT, "line"],
    );
    let first = until_connected(&mut lines, &mut subscription).await + 1;
    for number in first..first + NUM_BEFORE {
        lines.send_line(&number.to_string()).await;
    }
    let mut published = until(&mut subscription, first + NUM_BEFORE - 1).await;
    // A confirm may still be on its way; those of these lines are in order.
    broker.freeze().await;
    let frozen = first + NUM_BEFORE..first + NUM_BEFORE + NUM_FROZEN;
    for number in frozen.clone() {
        lines.send_line(&number.to_string()).await;
    }
    lines.close_stdin();
    let status = lines.wait(DEADLINE).await;
    let said = lines.stderr();
    assert_eq!(status.code(), Some(1), "{said}");
    let (maybe, never) = refused(&said);
    broker.thaw();
    let last = frozen.end;
    let mut again = sio(&broker.url(), &["emit", "--timeout", "50s", "line", &last.to_string()]);
    assert!(again.wait(DEADLINE).await.success(), "{}", again.stderr());
    published.extend(until(&mut subscription, last).await);

    let refused: BTreeSet<u64> = maybe.union(&never).copied().collect();
    assert!(frozen.clone().all(|number| refused.contains(&number)), "{said}");
    for number in first..last {
        let is_published = published.contains(&number);
        assert!(
            is_published || refused.contains(&number),
            "{number} was lost without a word: {said}"
        );
        assert!(
            !(is_published && never.contains(&number)),
            "{number} was published: {said}"
        );
    }
    assert!(
        never.range(first..).next().is_none(),
        "all of them were handed to the connection: {said}"
    );
    assert!(said.contains(&format!("{} refused", refused.len())), "{said}");
    listener.close().await.unwrap();
}
