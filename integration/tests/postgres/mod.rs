//! PostgreSQL: transactions, faults and refusals, on servers of the tests' own.

mod locks;
mod log;
mod pooler;
mod refusals;
mod sizes;
mod topics;
mod transactions;

use std::time::Duration;

use manager_api::{Incoming, ManagerOptions, Subscription};
use manager_postgres::{PostgresManager, PostgresOptions};

use crate::support::within;

/// Options on a channel with which a fault is noticed soon.
fn options(channel: &str) -> PostgresOptions {
    PostgresOptions {
        common: ManagerOptions {
            channel: channel.to_owned(),
            backoff_base: Duration::from_millis(20),
            backoff_cap: Duration::from_millis(200),
            ..ManagerOptions::default()
        },
        ..PostgresOptions::default()
    }
}

fn manager(url: &str, channel: &str) -> PostgresManager {
    PostgresManager::new(url, options(channel)).unwrap()
}

/// Receives the next item.
async fn next(subscription: &mut Subscription) -> Incoming {
    within("an item", subscription.recv())
        .await
        .expect("the subscription goes on")
}

/// Receives a message where a gap would be a failure, as text.
async fn next_text(subscription: &mut Subscription) -> String {
    match next(subscription).await {
        Incoming::Message(message) => String::from_utf8(message.to_vec()).unwrap(),
        other => panic!("expected a message, got {other:?}"),
    }
}

/// Receives a gap, and returns its reason.
async fn next_gap(subscription: &mut Subscription) -> String {
    match next(subscription).await {
        Incoming::Gap { reason } => reason,
        other => panic!("expected a gap, got {other:?}"),
    }
}
