//! Topics on servers of the tests' own: one server, and a cluster of three nodes.

mod changing;
mod cluster;
mod fake_nodes;
mod one_server;
pub(crate) mod three_nodes;

use std::time::Duration;

use manager_api::topics::{Delivery, Entry, Interest, Stream, Topic};
use manager_api::{Incoming, Subscription};
use tokio::time::timeout;

use super::faults::PATIENCE;

/// Receives the next item.
async fn next(subscription: &mut Subscription<Delivery>) -> Incoming<Delivery> {
    let incoming = timeout(PATIENCE, subscription.recv()).await;
    incoming.expect("something comes").expect("the subscription goes on")
}

/// Receives a message: the name of its topic, and itself.
async fn next_message(subscription: &mut Subscription<Delivery>) -> (String, String) {
    match next(subscription).await {
        Incoming::Message(Delivery::Message { topic, message }) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(&topic), text(&message))
        }
        unexpected => panic!("expected a message, got {unexpected:?}"),
    }
}

/// Receives an entry: the name of its stream, and its number.
async fn next_entry(subscription: &mut Subscription<Delivery>) -> (String, usize) {
    match next(subscription).await {
        Incoming::Message(Delivery::Entry { stream, entry }) => (stream.to_string(), number_in(&entry)),
        unexpected => panic!("expected an entry, got {unexpected:?}"),
    }
}

async fn expect_gap(subscription: &mut Subscription<Delivery>) -> String {
    match next(subscription).await {
        Incoming::Gap { reason } => reason,
        unexpected => panic!("expected a gap, got {unexpected:?}"),
    }
}

fn numbered(number: usize) -> Entry {
    Entry::from_iter([("number", number.to_string())])
}

fn number_in(entry: &Entry) -> usize {
    let number = entry.get("number").expect("a numbered entry");
    String::from_utf8_lossy(number).parse().unwrap()
}

fn stream(name: &str) -> Stream {
    Stream {
        name: name.into(),
        max_len: 100_000,
    }
}

fn new_entries(name: &str) -> Interest {
    Interest::Stream {
        name: name.into(),
        past: Duration::ZERO,
    }
}

fn named(topic: &Topic) -> Interest {
    Interest::Topic(topic.clone())
}
