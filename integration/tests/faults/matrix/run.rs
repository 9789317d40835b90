//! One run: a listener in this process, and a publisher in another.

use std::sync::Arc;
use std::time::Duration;

use integration::brokers::unique_channel;
use integration::driven::Driven;
use integration::{DEADLINE, managers};
use manager_api::{ClientManager, Health, Incoming, ManagerOptions, Subscription};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Balance;
use super::balance::{Entry, Published};

/// The longest wait of a row for an event that must happen, such as the start of a broker in Java.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A fault under way: numbers flow from a second process to a listener here.
pub(crate) struct Run {
    pub(crate) channel: String,
    listener: Arc<dyn ClientManager>,
    received: watch::Receiver<Vec<Entry>>,
    publisher: Driven,
}

/// Options on `channel` with which a fault is noticed soon.
pub(crate) fn options(channel: &str) -> ManagerOptions {
    ManagerOptions {
        channel: channel.to_owned(),
        backoff_base: Duration::from_millis(20),
        backoff_cap: Duration::from_millis(200),
        ..ManagerOptions::default()
    }
}

impl Run {
    /// Listens at one URL and publishes at another, which may lead past a proxy. Returns once numbers flow.
    pub(crate) async fn start(listen_at: &str, publish_at: &str) -> Self {
        let channel = unique_channel();
        let listener = managers::manager(listen_at, options(&channel));
        Self::start_with(listener, publish_at, &channel).await
    }

    /// As [`start`](Self::start), with a manager of the row's own on `channel`.
    pub(crate) async fn start_with(listener: Arc<dyn ClientManager>, publish_at: &str, channel: &str) -> Self {
        let subscription = listener.subscribe().await.unwrap();
        let (record, received) = watch::channel(Vec::new());
        tokio::spawn(keep(subscription, record));
        let mut command = Command::new(env!("CARGO_BIN_EXE_sio-test-publisher"));
        command.args([publish_at, channel]);
        let mut publisher = Driven::program("the publisher", command);
        publisher.until(PATIENCE, |event| event["event"] == "publishing").await;
        let run = Self {
            channel: channel.to_owned(),
            listener,
            received,
            publisher,
        };
        run.flows(100).await;
        run
    }

    /// The health of the listener.
    pub(crate) fn health(&self) -> Health {
        self.listener.health()
    }

    /// Waits until `count` more numbers came than now.
    pub(crate) async fn flows(&self, count: usize) {
        let num_numbers = |entries: &[Entry]| entries.iter().filter(|entry| matches!(entry, Entry::Number(_))).count();
        let wanted = num_numbers(&self.received.borrow()) + count;
        self.until(&format!("{count} more numbers"), |entries| {
            num_numbers(entries) >= wanted
        })
        .await;
    }

    /// Waits until there were `count` gaps in all.
    pub(crate) async fn until_gaps(&self, count: usize) {
        let num_gaps = |entries: &[Entry]| entries.iter().filter(|entry| matches!(entry, Entry::Gap(_))).count();
        self.until(&format!("{count} gaps"), |entries| num_gaps(entries) >= count)
            .await;
    }

    async fn until(&self, what: &str, is_there: impl Fn(&[Entry]) -> bool) {
        let mut received = self.received.clone();
        let came = timeout(PATIENCE, received.wait_for(|entries| is_there(entries))).await;
        let health = self.health();
        assert!(
            came.is_ok_and(|came| came.is_ok()),
            "{what}: not within {PATIENCE:?}; {health:?}"
        );
    }

    /// Ends the publisher, receives what is still to come, and draws the account.
    pub(crate) async fn balance(mut self) -> Balance {
        // The fault is over only once numbers arrive again.
        self.flows(100).await;
        let report = self.publisher.call(json!({ "cmd": "stop" })).await;
        let accepted: Vec<(u64, u64)> = serde_json::from_value(report["accepted"].clone()).unwrap();
        let last = accepted.last().expect("some were accepted").1;
        self.until_over(last).await;
        let published = Published {
            accepted,
            failures: failures(&report),
        };
        let entries = self.received.borrow().clone();
        let balance = Balance::of(published, &entries);
        // A subscription may make one of several in a row.
        let (num_told, num_counted) = (balance.gaps.len() as u64, self.health().num_gaps);
        assert!(
            num_told <= num_counted,
            "{num_told} gaps yielded, {num_counted} counted"
        );
        balance
    }

    /// Waits until the last accepted number came, or a gap behind everything that did. If neither comes, the account says what was lost.
    async fn until_over(&self, last: u64) {
        let is_over = |entries: &Vec<Entry>| match entries.last() {
            Some(Entry::Number(number)) => *number >= last,
            Some(Entry::Gap(_)) => true,
            None => false,
        };
        let _ = timeout(DEADLINE, self.received.clone().wait_for(is_over)).await;
    }
}

fn failures(report: &Value) -> std::collections::BTreeMap<String, u64> {
    serde_json::from_value(report["failures"].clone()).unwrap()
}

/// Writes down what comes.
async fn keep(mut subscription: Subscription, record: watch::Sender<Vec<Entry>>) {
    while let Some(incoming) = subscription.recv().await {
        let entry = match incoming {
            Incoming::Message(message) => Entry::Number(std::str::from_utf8(&message).unwrap().parse().unwrap()),
            Incoming::Gap { reason } => Entry::Gap(reason),
            _ => continue,
        };
        record.send_modify(|entries| entries.push(entry));
    }
}
