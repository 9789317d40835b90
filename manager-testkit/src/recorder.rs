//! The [`Recorder`] decorator: a manager that records its messages.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::replay::Replay;
use manager_api::subscription::SubscriptionSender;
use manager_api::topics::Topics;
use manager_api::{ClientManager, Error, Health, HostId, Incoming, Subscription};
use tokio::sync::watch;

/// The maximum number of entries that a [`Recorder`] keeps of each kind; later ones are not recorded.
pub const MAX_RECORDED: usize = 100_000;

/// A decorator that records every message accepted and every item received. Clones share the record.
#[derive(Debug)]
pub struct Recorder<M> {
    inner: Arc<M>,
    record: Arc<watch::Sender<Record>>,
}

/// The recorded items.
#[derive(Debug, Default)]
struct Record {
    published: Vec<Bytes>,
    received: Vec<Incoming>,
}

impl<M> Clone for Recorder<M> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            record: self.record.clone(),
        }
    }
}

impl<M> Recorder<M> {
    /// Wraps `inner`.
    pub fn new(inner: M) -> Self {
        Self {
            inner: Arc::new(inner),
            record: Arc::default(),
        }
    }

    /// Returns the manager inside.
    pub fn inner(&self) -> &M {
        &self.inner
    }

    /// Returns the messages that the broker accepted, in that order.
    pub fn published(&self) -> Vec<Bytes> {
        self.record.borrow().published.clone()
    }

    /// Returns what all subscriptions received, in that order.
    pub fn received(&self) -> Vec<Incoming> {
        self.record.borrow().received.clone()
    }

    /// Waits until at least `count` messages were accepted and returns them.
    pub async fn until_published(&self, count: usize) -> Vec<Bytes> {
        let mut record = self.record.subscribe();
        let done = record.wait_for(|record| record.published.len() >= count).await;
        done.expect("the recorder holds the sender").published.clone()
    }

    /// Waits until at least `count` items were received and returns them.
    pub async fn until_received(&self, count: usize) -> Vec<Incoming> {
        let mut record = self.record.subscribe();
        let done = record.wait_for(|record| record.received.len() >= count).await;
        done.expect("the recorder holds the sender").received.clone()
    }
}

#[async_trait]
impl<M: ClientManager> ClientManager for Recorder<M> {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        self.inner.publish(message.clone()).await?;
        self.record.send_modify(|record| keep(&mut record.published, message));
        Ok(())
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let inner = self.inner.subscribe().await?;
        let (sender, subscription) = Subscription::channel(1 << 20);
        tokio::spawn(forward(inner, sender, self.record.clone()));
        Ok(subscription)
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }

    fn host_id(&self) -> Option<HostId> {
        self.inner.host_id()
    }

    /// What passes through topics is not recorded.
    fn topics(&self) -> Option<&dyn Topics> {
        self.inner.topics()
    }

    /// What is read from the log is not recorded.
    fn replay(&self) -> Option<&dyn Replay> {
        self.inner.replay()
    }

    fn deadline(&self) -> Duration {
        self.inner.deadline()
    }

    fn health(&self) -> Health {
        self.inner.health()
    }
}

/// Forwards a subscription, and records it.
async fn forward(mut inner: Subscription, sender: SubscriptionSender, record: Arc<watch::Sender<Record>>) {
    loop {
        let incoming = tokio::select! {
            incoming = inner.recv() => incoming,
            () = sender.closed() => None,
        };
        let Some(incoming) = incoming else { return };
        record.send_modify(|record| keep(&mut record.received, incoming.clone()));
        let passed = match incoming {
            Incoming::Message(message) => sender.message(message).await,
            Incoming::Gap { reason } => sender.gap(reason),
            _ => Ok(()),
        };
        if passed.is_err() {
            return;
        }
    }
}

/// Records an item, if there is capacity.
fn keep<T>(kept: &mut Vec<T>, item: T) {
    if kept.len() < MAX_RECORDED {
        kept.push(item);
    }
}
