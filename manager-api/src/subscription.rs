//! A subscription to a channel: the receiving end, and the sending end that a manager holds.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::lock::Unpoisoned;

/// An item of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming<M = Bytes> {
    /// One message, exactly as it was published.
    Message(M),
    /// Messages may have been missed since the previous item.
    Gap {
        /// The cause, human-readable: "reconnected to the broker", "the subscriber fell behind".
        reason: String,
    },
}

/// A message that a subscription can hold: its size counts against the limit of what is not yet received.
pub trait Measured {
    /// Returns the size in bytes.
    fn size(&self) -> usize;
}

impl Measured for Bytes {
    fn size(&self) -> usize {
        self.len()
    }
}

/// The messages of a channel, from the moment of subscribing on; or those of [topics](crate::topics).
///
/// It ends when the manager is closed. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription<M = Bytes> {
    queue: mpsc::UnboundedReceiver<Queued<M>>,
    /// Closed when the subscription is dropped, which wakes a sender that waits for capacity.
    budget: Arc<Semaphore>,
    tail: Arc<Mutex<Tail>>,
}

/// The last item of the queue. Gaps do not count against the budget, so only one may be at the end, however often the
/// connection is lost.
#[derive(Debug, Default)]
struct Tail {
    /// The number of the gap that is the last item and was not received yet.
    gap: Option<u64>,
    next: u64,
}

#[derive(Debug)]
struct Queued<M> {
    incoming: Incoming<M>,
    /// The number of a gap.
    number: Option<u64>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Subscription {
    /// Creates both ends of a subscription that holds at most `max_bytes` of messages not yet received.
    ///
    /// A message counts as at least [`MIN_COST`] bytes, so that empty ones are bounded too.
    pub fn channel(max_bytes: usize) -> (SubscriptionSender, Subscription) {
        Self::channel_of(max_bytes)
    }
}

impl<M> Subscription<M> {
    /// Creates both ends of a subscription to messages of any type, as [`channel`](Subscription::channel) does.
    pub fn channel_of(max_bytes: usize) -> (SubscriptionSender<M>, Subscription<M>) {
        let (sender, queue) = mpsc::unbounded_channel();
        let capacity = max_bytes.clamp(MIN_COST, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let (budget, tail) = (Arc::new(Semaphore::new(capacity)), Arc::<Mutex<Tail>>::default());
        let sender = SubscriptionSender {
            queue: sender,
            budget: budget.clone(),
            tail: tail.clone(),
            capacity,
        };
        (sender, Subscription { queue, budget, tail })
    }

    /// Receives the next item; `None` once the manager is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<Incoming<M>> {
        self.queue.recv().await.map(|queued| self.received(queued))
    }

    /// Receives an item that is queued already, without waiting.
    pub fn try_recv(&mut self) -> Option<Incoming<M>> {
        self.queue.try_recv().ok().map(|queued| self.received(queued))
    }

    fn received(&self, queued: Queued<M>) -> Incoming<M> {
        if let Some(number) = queued.number {
            let mut tail = lock(&self.tail);
            tail.gap = tail.gap.filter(|&gap| gap != number);
        }
        queued.incoming
    }
}

impl<M> Stream for Subscription<M> {
    type Item = Incoming<M>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming<M>>> {
        let next = self.queue.poll_recv(cx);
        next.map(|next| next.map(|queued| self.received(queued)))
    }
}

impl<M> Drop for Subscription<M> {
    fn drop(&mut self) {
        self.budget.close();
    }
}

/// The end of a subscription that a manager fills.
#[derive(Debug)]
pub struct SubscriptionSender<M = Bytes> {
    queue: mpsc::UnboundedSender<Queued<M>>,
    budget: Arc<Semaphore>,
    tail: Arc<Mutex<Tail>>,
    capacity: usize,
}

/// The error of a sender whose subscription was dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Unsubscribed;

impl<M> Clone for SubscriptionSender<M> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            budget: self.budget.clone(),
            tail: self.tail.clone(),
            capacity: self.capacity,
        }
    }
}

impl<M: Measured> SubscriptionSender<M> {
    /// Queues one message; waits while the unread messages exceed the limit.
    ///
    /// A manager that calls this from its reading loop thereby stops reading, so that the broker's own flow control
    /// applies.
    ///
    /// # Errors
    ///
    /// [`Unsubscribed`] when the subscription was dropped.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the message was not queued.
    pub async fn message(&self, message: M) -> Result<(), Unsubscribed> {
        let permit = self.budget.clone().acquire_many_owned(self.cost(&message));
        let permit = permit.await.map_err(|_| Unsubscribed)?;
        self.enqueue(message, permit)
    }

    /// Queues one message if the limit allows it; `Ok(false)` if not.
    ///
    /// # Errors
    ///
    /// [`Unsubscribed`] when the subscription was dropped.
    pub fn try_message(&self, message: M) -> Result<bool, Unsubscribed> {
        if self.is_closed() {
            return Err(Unsubscribed);
        }
        match self.budget.clone().try_acquire_many_owned(self.cost(&message)) {
            Ok(permit) => self.enqueue(message, permit).map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Queues a gap: messages may have been missed at this point of the stream. Never waits.
    ///
    /// A gap directly after another one that the subscriber has not received yet is merged with it.
    ///
    /// # Errors
    ///
    /// [`Unsubscribed`] when the subscription was dropped.
    pub fn gap(&self, reason: impl Into<String>) -> Result<(), Unsubscribed> {
        let mut tail = lock(&self.tail);
        if self.is_closed() {
            return Err(Unsubscribed);
        }
        if tail.gap.is_some() {
            return Ok(());
        }
        let number = tail.next;
        *tail = Tail {
            gap: Some(number),
            next: number + 1,
        };
        let reason = reason.into();
        self.send(Incoming::Gap { reason }, Some(number), None)
    }

    /// Returns whether the subscription was dropped.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Completes when the subscription is dropped.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }

    fn enqueue(&self, message: M, permit: OwnedSemaphorePermit) -> Result<(), Unsubscribed> {
        // Held until the message is in the queue, so that a later gap is queued after it.
        let mut tail = lock(&self.tail);
        tail.gap = None;
        self.send(Incoming::Message(message), None, Some(permit))
    }

    fn send(
        &self,
        incoming: Incoming<M>,
        number: Option<u64>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Unsubscribed> {
        let queued = Queued {
            incoming,
            number,
            _permit: permit,
        };
        self.queue.send(queued).map_err(|_| Unsubscribed)
    }

    fn cost(&self, message: &M) -> u32 {
        // A message larger than the whole limit is admitted alone.
        let cost = message.size().clamp(MIN_COST, self.capacity);
        u32::try_from(cost).expect("capacity fits u32")
    }
}

fn lock(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    tail.lock().unpoisoned()
}

/// The minimum cost of a queued message, in bytes: about the size of its bookkeeping.
pub const MIN_COST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_sender_waits_for_capacity_and_a_receive_releases_some() {
        let (sender, mut subscription) = Subscription::channel(1000);
        let big = Bytes::from(vec![0; 800]);
        sender.message(big.clone()).await.unwrap();
        assert_eq!(sender.try_message(big.clone()), Ok(false));
        assert!(sender.message(big.clone()).now_or_never().is_none());
        assert_eq!(subscription.recv().await, Some(Incoming::Message(big.clone())));
        assert_eq!(sender.message(big).now_or_never(), Some(Ok(())));
    }

    #[tokio::test]
    async fn a_connection_lost_many_times_without_a_receive_fills_no_memory() {
        let gap = |reason: &str| Incoming::Gap {
            reason: reason.to_owned(),
        };
        let (sender, mut subscription) = Subscription::channel(1000);
        for number in 0..1_000 {
            sender.gap(format!("{number}")).unwrap();
        }
        sender.message(Bytes::from_static(b"x")).await.unwrap();
        sender.gap("after a message").unwrap();
        assert_eq!(subscription.try_recv(), Some(gap("0")));
        sender.gap("still there").unwrap();
        assert_eq!(
            subscription.try_recv(),
            Some(Incoming::Message(Bytes::from_static(b"x")))
        );
        assert_eq!(subscription.try_recv(), Some(gap("after a message")));
        assert_eq!(subscription.try_recv(), None);
        sender.gap("another one").unwrap();
        assert_eq!(subscription.recv().await, Some(gap("another one")));
        drop(subscription);
        assert_eq!(sender.gap("unsubscribed"), Err(Unsubscribed));
    }

    #[tokio::test]
    async fn dropping_the_subscription_frees_a_waiting_sender() {
        let (sender, subscription) = Subscription::channel(200);
        sender.message(Bytes::from(vec![0; 200])).await.unwrap();
        let waiting = sender.message(Bytes::from_static(b"x"));
        drop(subscription);
        assert_eq!(waiting.await, Err(Unsubscribed));
        sender.closed().await;
    }

    #[tokio::test]
    async fn a_message_larger_than_the_limit_is_admitted_alone() {
        let (sender, mut subscription) = Subscription::channel(200);
        let huge = Bytes::from(vec![7; 5000]);
        sender.message(huge.clone()).await.unwrap();
        assert_eq!(subscription.try_recv(), Some(Incoming::Message(huge)));
    }
}
