//! The reference manager: a broker inside this process, for tests, examples and programs of one process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::lock::Unpoisoned;
use crate::subscription::SubscriptionSender;
use crate::{ClientManager, Error, ErrorKind, Health, ManagerOptions, Subscription};

/// A broker in memory. Clones share it, as processes share a broker.
///
/// A subscriber with more unread bytes than [`max_buffered_bytes`](ManagerOptions::max_buffered_bytes) misses messages
/// and receives a [`Gap`](crate::Incoming::Gap); it never blocks a publisher.
#[derive(Clone, Debug)]
pub struct MemoryBus {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    is_up: watch::Sender<bool>,
    channels: Mutex<HashMap<String, Vec<Subscriber>>>,
    num_managers: AtomicU64,
}

#[derive(Debug)]
struct Subscriber {
    manager: u64,
    sender: SubscriptionSender,
    /// Whether the latest message was missed: consecutive missed messages are reported as one gap.
    is_behind: bool,
    counters: Arc<Counters>,
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryBus {
    /// Creates a separate bus, which is running.
    pub fn new() -> Self {
        let shared = Shared {
            is_up: watch::Sender::new(true),
            channels: Mutex::default(),
            num_managers: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Creates a manager on `channel`, with default options otherwise.
    pub fn manager(&self, channel: impl Into<String>) -> MemoryManager {
        self.manager_with(ManagerOptions {
            channel: channel.into(),
            ..ManagerOptions::default()
        })
    }

    /// Creates a manager with `options`.
    pub fn manager_with(&self, options: ManagerOptions) -> MemoryManager {
        MemoryManager {
            bus: self.clone(),
            id: self.shared.num_managers.fetch_add(1, Ordering::Relaxed),
            options,
            turn: tokio::sync::Mutex::new(()),
            is_closed: AtomicBool::new(false),
            counters: Arc::default(),
        }
    }

    /// Stops the bus, as if a broker went down: publishes and subscribes wait from now on.
    pub fn stop(&self) {
        let _channels = self.channels();
        self.shared.is_up.send_replace(false);
    }

    /// Starts the bus again: every subscriber receives a gap, then waiting publishes are accepted.
    pub fn start(&self) {
        let mut channels = self.channels();
        if *self.shared.is_up.borrow() {
            return;
        }
        for subscriber in channels.values_mut().flatten() {
            subscriber.report_gap("the bus was stopped and started again");
        }
        self.shared.is_up.send_replace(true);
    }

    /// Counts the subscriptions on `channel`.
    pub fn num_subscribers(&self, channel: &str) -> usize {
        let channels = self.channels();
        let subscribers = channels.get(channel).into_iter().flatten();
        subscribers.filter(|s| !s.sender.is_closed()).count()
    }

    /// Delivers `message` to every subscriber; false while the bus is stopped.
    fn deliver(&self, channel: &str, message: &Bytes) -> bool {
        let mut channels = self.channels();
        if !*self.shared.is_up.borrow() {
            return false;
        }
        if let Some(subscribers) = channels.get_mut(channel) {
            subscribers.retain_mut(|subscriber| subscriber.offer(message.clone()));
            if subscribers.is_empty() {
                channels.remove(channel);
            }
        }
        true
    }

    async fn until_up(&self) {
        let mut is_up = self.shared.is_up.subscribe();
        // The sender lives as long as `self`.
        let _ = is_up.wait_for(|is_up| *is_up).await;
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<String, Vec<Subscriber>>> {
        let channels = self.shared.channels.lock();
        channels.unpoisoned()
    }
}

impl Subscriber {
    /// Queues `message`, or a gap if it exceeds the limit; false once the subscription was dropped.
    fn offer(&mut self, message: Bytes) -> bool {
        match self.sender.try_message(message) {
            Ok(true) => {
                self.is_behind = false;
                self.counters.num_received.fetch_add(1, Ordering::Relaxed);
                true
            }
            Ok(false) if self.is_behind => true,
            Ok(false) => {
                self.is_behind = true;
                self.report_gap("the subscriber fell behind");
                true
            }
            Err(_) => false,
        }
    }

    fn report_gap(&mut self, reason: &str) {
        self.counters.num_gaps.fetch_add(1, Ordering::Relaxed);
        // A subscriber that was dropped meanwhile is removed with the next message.
        let _ = self.sender.gap(reason);
    }
}

/// A [`ClientManager`] on a [`MemoryBus`].
#[derive(Debug)]
pub struct MemoryManager {
    bus: MemoryBus,
    id: u64,
    options: ManagerOptions,
    /// Acquired by publishes in the order of their first poll.
    turn: tokio::sync::Mutex<()>,
    is_closed: AtomicBool,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    num_published: AtomicU64,
    num_publish_failures: AtomicU64,
    num_received: AtomicU64,
    num_gaps: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Clone, Debug, Default)]
struct Last {
    published_first: Option<SystemTime>,
    subscribed: Option<SystemTime>,
    error: Option<(SystemTime, String)>,
}

#[async_trait]
impl ClientManager for MemoryManager {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        self.check(&message)?;
        let accepted = async {
            // Not subject to the task's budget: the first poll decides the order.
            let _turn = tokio::task::unconstrained(self.turn.lock()).await;
            while !self.bus.deliver(&self.options.channel, &message) {
                self.bus.until_up().await;
            }
        };
        match timeout(self.options.deadline, accepted).await {
            Ok(()) => {
                self.counters.published();
                Ok(())
            }
            Err(_) => Err(self.down("publish")),
        }
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        self.check(&Bytes::new())?;
        if timeout(self.options.deadline, self.bus.until_up()).await.is_err() {
            return Err(self.down("subscribe"));
        }
        let (sender, subscription) = Subscription::channel(self.options.max_buffered_bytes);
        let subscriber = Subscriber {
            manager: self.id,
            sender,
            is_behind: false,
            counters: self.counters.clone(),
        };
        let mut channels = self.bus.channels();
        // Under the lock that `close` acquires, so that `close` removes this subscriber or is seen
        // here.
        self.check(&Bytes::new())?;
        let subscribers = channels.entry(self.options.channel.clone()).or_default();
        subscribers.retain(|subscriber| !subscriber.sender.is_closed());
        subscribers.push(subscriber);
        self.counters.last().subscribed = Some(SystemTime::now());
        Ok(subscription)
    }

    async fn close(&self) -> Result<(), Error> {
        self.is_closed.store(true, Ordering::SeqCst);
        // Before the flush, which may be cancelled.
        self.release();
        // Earlier publishes precede this in the queue of the mutex.
        let flushed = timeout(self.options.deadline, self.turn.lock()).await.is_ok();
        if flushed { Ok(()) } else { Err(self.down("flush")) }
    }

    fn health(&self) -> Health {
        let counters = &*self.counters;
        let last = counters.last().clone();
        let is_up = *self.bus.shared.is_up.borrow() && !self.is_closed.load(Ordering::SeqCst);
        Health {
            publishing_since: last.published_first.filter(|_| is_up),
            listening_since: last.subscribed.filter(|_| is_up),
            last_error: last.error,
            num_published: counters.num_published.load(Ordering::Relaxed),
            num_publish_failures: counters.num_publish_failures.load(Ordering::Relaxed),
            num_unheard: 0,
            num_received: counters.num_received.load(Ordering::Relaxed),
            num_refusals: 0,
            num_gaps: counters.num_gaps.load(Ordering::Relaxed),
        }
    }
}

impl MemoryManager {
    fn check(&self, message: &Bytes) -> Result<(), Error> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Closed, "the manager is closed"));
        }
        let limit = self.options.max_message_bytes;
        if message.len() > limit {
            let text = format!("a message of {} bytes is over the limit of {limit}", message.len());
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        Ok(())
    }

    fn down(&self, attempted: &str) -> Error {
        let deadline = self.options.deadline;
        let text = format!("cannot {attempted} within {deadline:?}: the memory bus is stopped");
        self.counters
            .num_publish_failures
            .fetch_add(u64::from(attempted == "publish"), Ordering::Relaxed);
        self.counters.last().error = Some((SystemTime::now(), text.clone()));
        Error::new(ErrorKind::Connect, text)
    }

    /// Ends the subscriptions of this manager.
    fn release(&self) {
        self.bus.channels().retain(|_, subscribers| {
            subscribers.retain(|subscriber| subscriber.manager != self.id);
            !subscribers.is_empty()
        });
    }
}

impl Drop for MemoryManager {
    fn drop(&mut self) {
        self.release();
    }
}

impl Counters {
    fn published(&self) {
        if self.num_published.fetch_add(1, Ordering::Relaxed) == 0 {
            self.last().published_first = Some(SystemTime::now());
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unpoisoned()
    }
}
