//! The [`Flaky`] decorator: a manager with injected faults.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::lock::Unpoisoned;
use manager_api::replay::Replay;
use manager_api::subscription::{SubscriptionSender, Unsubscribed};
use manager_api::topics::{Delivery, Entry, Interest, InterestChanges, Stream, Topic, Topics};
use manager_api::{ClientManager, Error, ErrorKind, Health, HostId, Incoming, Subscription};
use tokio::sync::watch;
use tokio::time::sleep;

/// A decorator that injects faults into a manager, by count and therefore the same in every run.
///
/// Clones share the faults and the manager, so that a test keeps one and passes another on.
#[derive(Debug)]
pub struct Flaky<M> {
    inner: Arc<M>,
    faults: Arc<Mutex<Faults>>,
    replies: Arc<watch::Sender<Replies>>,
}

/// The treatment of the broker's replies to publishes.
#[derive(Clone, Copy, Debug, Default)]
struct Replies {
    is_swallowed: bool,
    num_cuts: u64,
}

/// The faults to come.
#[derive(Debug, Default)]
struct Faults {
    num_failing: usize,
    num_refused_after_sending: usize,
    num_lost: usize,
    num_doubled: usize,
    delay: Duration,
    is_cut: bool,
    subscribers: Vec<SubscriptionSender>,
}

impl<M> Clone for Flaky<M> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            faults: self.faults.clone(),
            replies: self.replies.clone(),
        }
    }
}

impl<M> Flaky<M> {
    /// Wraps `inner`; no fault is active yet.
    pub fn new(inner: M) -> Self {
        Self {
            inner: Arc::new(inner),
            faults: Arc::default(),
            replies: Arc::default(),
        }
    }

    /// Returns the manager inside.
    pub fn inner(&self) -> &M {
        &self.inner
    }

    /// Fails the next `count` publishes; their messages never leave.
    pub fn fail_publishes(&self, count: usize) {
        self.faults().num_failing = count;
    }

    /// Fails the next `count` publishes although their messages are sent, as a lost reply does.
    pub fn lose_replies(&self, count: usize) {
        self.faults().num_refused_after_sending = count;
    }

    /// Sends messages from now on but withholds the replies: until [`mend`](Self::mend) they are late, after
    /// [`cut`](Self::cut) they are lost.
    pub fn swallow_replies(&self) {
        self.replies.send_modify(|replies| replies.is_swallowed = true);
    }

    /// Drops the next `count` received messages without a gap, which the layers above cannot notice.
    pub fn drop_messages(&self, count: usize) {
        self.faults().num_lost = count;
    }

    /// Delivers each of the next `count` received messages twice.
    pub fn duplicate_messages(&self, count: usize) {
        self.faults().num_doubled = count;
    }

    /// Delays every message received from now on by `delay`, one after the other.
    pub fn delay_messages(&self, delay: Duration) {
        self.faults().delay = delay;
    }

    /// Cuts the connection: publishes fail, received messages are lost, until [`mend`](Self::mend).
    pub fn cut(&self) {
        self.faults().is_cut = true;
        self.replies.send_modify(|replies| {
            replies.is_swallowed = false;
            replies.num_cuts += 1;
        });
    }

    /// Restores the connection; every subscription receives a gap.
    pub fn mend(&self) {
        self.replies.send_modify(|replies| replies.is_swallowed = false);
        let mut faults = self.faults();
        if std::mem::take(&mut faults.is_cut) {
            faults
                .subscribers
                .retain(|subscriber| subscriber.gap("the connection was cut and mended").is_ok());
        }
    }

    /// Returns the faults to come.
    fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }
}

/// Locks the faults.
fn lock(faults: &Mutex<Faults>) -> MutexGuard<'_, Faults> {
    faults.lock().unpoisoned()
}

impl<M: ClientManager> Flaky<M> {
    /// Completes one publish, with the faults that are due.
    async fn sent(&self, sending: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        let loses_reply = {
            let mut faults = self.faults();
            if faults.is_cut {
                return Err(Error::new(ErrorKind::Connect, "the connection is cut, on command"));
            }
            if take_one(&mut faults.num_failing) {
                return Err(Error::new(ErrorKind::Publish, "the publish failed, on command"));
            }
            take_one(&mut faults.num_refused_after_sending)
        };
        let mut replies = self.replies.subscribe();
        let num_cuts = replies.borrow().num_cuts;
        sending.await?;
        // The sender is this manager's.
        let now = replies
            .wait_for(|replies| !replies.is_swallowed)
            .await
            .map(|replies| replies.num_cuts);
        let is_cut = now.is_ok_and(|now| now != num_cuts);
        match loses_reply || is_cut {
            true => Err(Error::new(ErrorKind::Publish, "the reply was lost, on command").possibly_published()),
            false => Ok(()),
        }
    }

    /// Returns the topics of the manager inside.
    fn inner_topics(&self) -> Result<&dyn Topics, Error> {
        let topics = self.inner.topics();
        topics.ok_or_else(|| Error::new(ErrorKind::Config, "the manager inside has no topics"))
    }
}

#[async_trait]
impl<M: ClientManager> ClientManager for Flaky<M> {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        self.sent(self.inner.publish(message)).await
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let inner = self.inner.subscribe().await?;
        let (sender, subscription) = Subscription::channel(1 << 20);
        let mut faults = self.faults();
        faults.subscribers.retain(|subscriber| !subscriber.is_closed());
        // Kept for `mend`; `close` drops it, so that the stream ends.
        faults.subscribers.push(sender.clone());
        drop(faults);
        tokio::spawn(forward(inner, sender, self.faults.clone()));
        Ok(subscription)
    }

    async fn close(&self) -> Result<(), Error> {
        self.faults().subscribers.clear();
        self.inner.close().await
    }

    fn host_id(&self) -> Option<HostId> {
        self.inner.host_id()
    }

    /// Returns those of the manager inside, with the faults of publishes.
    fn topics(&self) -> Option<&dyn Topics> {
        self.inner.topics().map(|_| self as _)
    }

    /// Returns that of the manager inside; reading it has no faults.
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

/// Publishes have faults, subscriptions and counts have none.
#[async_trait]
impl<M: ClientManager> Topics for Flaky<M> {
    async fn publish_to(&self, topic: &Topic, message: Bytes) -> Result<(), Error> {
        self.sent(self.inner_topics()?.publish_to(topic, message)).await
    }

    async fn append(&self, stream: &Stream, entry: Entry) -> Result<(), Error> {
        self.sent(self.inner_topics()?.append(stream, entry)).await
    }

    async fn subscribe_to(&self, interests: Vec<Interest>) -> Result<Subscription<Delivery>, Error> {
        self.inner_topics()?.subscribe_to(interests).await
    }

    async fn subscribe_to_changing(&self, changes: InterestChanges) -> Result<Subscription<Delivery>, Error> {
        self.inner_topics()?.subscribe_to_changing(changes).await
    }

    async fn count_subscribers(&self, topic: &Topic) -> Result<u64, Error> {
        self.inner_topics()?.count_subscribers(topic).await
    }

    async fn find_sharded(&self, pattern: &str, max: usize) -> Result<Vec<String>, Error> {
        self.inner_topics()?.find_sharded(pattern, max).await
    }
}

/// Forwards a subscription, with faults.
async fn forward(mut inner: Subscription, sender: SubscriptionSender, faults: Arc<Mutex<Faults>>) {
    loop {
        let incoming = tokio::select! {
            incoming = inner.recv() => incoming,
            () = sender.closed() => None,
        };
        let Some(incoming) = incoming else { return };
        if pass(incoming, &sender, &faults).await.is_err() {
            return;
        }
    }
}

/// Forwards one item, with faults.
async fn pass(incoming: Incoming, sender: &SubscriptionSender, faults: &Mutex<Faults>) -> Result<(), Unsubscribed> {
    let message = match incoming {
        Incoming::Message(message) => message,
        Incoming::Gap { reason } => return sender.gap(reason),
        _ => return Ok(()),
    };
    let (delay, is_doubled) = {
        let mut faults = lock(faults);
        if faults.is_cut || take_one(&mut faults.num_lost) {
            return Ok(());
        }
        (faults.delay, take_one(&mut faults.num_doubled))
    };
    if !delay.is_zero() {
        sleep(delay).await;
    }
    if is_doubled {
        sender.message(message.clone()).await?;
    }
    sender.message(message).await
}

/// Takes one of a count; false if it is zero.
fn take_one(count: &mut usize) -> bool {
    let is_due = *count > 0;
    *count = count.saturating_sub(1);
    is_due
}
