//! The reference manager: a broker inside this process, for tests, examples and programs of one process.

mod counters;
mod log;
mod subscriber;
mod topics;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::backend::{check_size, closed};
use crate::lock::Unpoisoned;
use crate::replay::Replay;
use crate::subscription::Measured;
use crate::topics::Topics;
use crate::{ClientManager, Error, ErrorKind, Health, ManagerOptions, Subscription};
use counters::Counters;
use log::Log;
pub use log::MemoryLog;
use subscriber::Subscriber;
use topics::TopicTable;

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
    /// How much of each channel is kept, if anything.
    log: Option<MemoryLog>,
    state: Mutex<State>,
    num_managers: AtomicU64,
}

/// The subscriptions to channels and topics, the logs of channels, and the streams.
#[derive(Debug, Default)]
struct State {
    channels: HashMap<String, Vec<Subscriber>>,
    logs: HashMap<String, Log>,
    topics: TopicTable,
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryBus {
    /// Creates a separate bus, which is running and keeps no message.
    pub fn new() -> Self {
        Self::of(None)
    }

    /// Creates a separate bus, which is running and keeps the messages of each channel within these limits: its managers
    /// have a [log](crate::replay).
    pub fn with_log(limits: MemoryLog) -> Self {
        Self::of(Some(limits))
    }

    fn of(log: Option<MemoryLog>) -> Self {
        let shared = Shared {
            is_up: watch::Sender::new(true),
            log,
            state: Mutex::default(),
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
            is_closed: watch::Sender::new(false),
            counters: Arc::default(),
        }
    }

    /// Stops the bus, as if a broker went down: publishes and subscribes wait from now on.
    pub fn stop(&self) {
        let _state = self.state();
        self.shared.is_up.send_replace(false);
    }

    /// Starts the bus again: every subscriber of more than streams receives a gap, then waiting publishes are accepted.
    pub fn start(&self) {
        let mut state = self.state();
        if *self.shared.is_up.borrow() {
            return;
        }
        let reason = "the bus was stopped and started again";
        for subscriber in state.channels.values_mut().flatten() {
            subscriber.report_gap(reason);
        }
        state.topics.report_gap(reason);
        self.shared.is_up.send_replace(true);
    }

    /// Counts the subscriptions on `channel`, and the readers of its log.
    pub fn num_subscribers(&self, channel: &str) -> usize {
        let state = self.state();
        let subscribers = state.channels.get(channel).into_iter().flatten();
        let num_readers = state.logs.get(channel).map_or(0, Log::num_readers);
        subscribers.filter(|subscriber| !subscriber.is_closed()).count() + num_readers
    }

    /// Returns the state of a running bus; `None` while it is stopped.
    fn state_if_up(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.state();
        let is_up = *self.shared.is_up.borrow();
        is_up.then_some(state)
    }

    async fn until_up(&self) {
        let mut is_up = self.shared.is_up.subscribe();
        // The sender lives as long as `self`.
        let _ = is_up.wait_for(|is_up| *is_up).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unpoisoned()
    }
}

impl State {
    /// Delivers `message` to every subscriber of the channel, and keeps it if there is a log.
    fn deliver(&mut self, channel: &str, message: &Bytes, limits: Option<&MemoryLog>) {
        if let Some(limits) = limits {
            let log = match self.logs.get_mut(channel) {
                Some(log) => log,
                None => self.logs.entry(channel.to_owned()).or_insert_with(Log::new),
            };
            log.append(message, limits);
        }
        if let Some(subscribers) = self.channels.get_mut(channel) {
            subscribers.retain_mut(|subscriber| subscriber.offer(message.clone()));
            if subscribers.is_empty() {
                self.channels.remove(channel);
            }
        }
    }

    /// Ends the subscriptions of a manager.
    fn release(&mut self, manager: u64) {
        self.channels.retain(|_, subscribers| {
            subscribers.retain(|subscriber| subscriber.manager != manager);
            !subscribers.is_empty()
        });
        self.topics.release(manager);
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
    is_closed: watch::Sender<bool>,
    counters: Arc<Counters>,
}

#[async_trait]
impl ClientManager for MemoryManager {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        let limits = self.bus.shared.log.as_ref();
        let deliver = |state: &mut State| state.deliver(&self.options.channel, &message, limits);
        self.accept(message.len(), deliver).await
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let add = |state: &mut State, subscriber| {
            let subscribers = state.channels.entry(self.options.channel.clone()).or_default();
            subscribers.retain(|subscriber: &Subscriber| !subscriber.is_closed());
            subscribers.push(subscriber);
        };
        self.add_subscriber(add).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.is_closed.send_replace(true);
        // Before the flush, which may be cancelled.
        self.bus.state().release(self.id);
        // Earlier publishes precede this in the queue of the mutex.
        let flushed = timeout(self.options.deadline, self.turn.lock()).await.is_ok();
        if flushed { Ok(()) } else { Err(self.down("flush")) }
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }

    fn replay(&self) -> Option<&dyn Replay> {
        self.bus.shared.log.as_ref().map(|_| self as _)
    }

    fn deadline(&self) -> Duration {
        self.options.deadline
    }

    fn health(&self) -> Health {
        let counters = &*self.counters;
        let last = counters.last().clone();
        let is_up = *self.bus.shared.is_up.borrow() && !*self.is_closed.borrow();
        Health {
            publishing_since: last.published_first.filter(|_| is_up),
            listening_since: last.subscribed.filter(|_| is_up),
            num_listening: 0,
            last_error: last.error,
            num_published: counters.num_published.load(Ordering::Relaxed),
            num_publish_failures: counters.num_publish_failures.load(Ordering::Relaxed),
            num_unheard: 0,
            num_foreign: 0,
            num_received: counters.num_received.load(Ordering::Relaxed),
            num_refusals: 0,
            num_gaps: counters.num_gaps.load(Ordering::Relaxed),
        }
    }
}

impl MemoryManager {
    /// Waits for its turn and for the bus, then delivers a message of `len` bytes.
    async fn accept(&self, len: usize, deliver: impl FnOnce(&mut State) + Send) -> Result<(), Error> {
        self.check(len)?;
        let accepted = async {
            // Not subject to the task's budget: the first poll decides the order.
            let _turn = tokio::task::unconstrained(self.turn.lock()).await;
            loop {
                if let Some(mut state) = self.bus.state_if_up() {
                    return deliver(&mut state);
                }
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

    /// Waits for the bus, then adds a subscriber to it by `add`.
    async fn add_subscriber<M: Measured>(
        &self,
        add: impl FnOnce(&mut State, Subscriber<M>) + Send,
    ) -> Result<Subscription<M>, Error> {
        self.check(0)?;
        self.up_for("subscribe").await?;
        let (sender, subscription) = Subscription::channel_of(self.options.max_buffered_bytes);
        let mut state = self.bus.state();
        // Under the lock that `close` acquires, so that `close` removes this subscriber or is seen
        // here.
        self.check(0)?;
        add(&mut state, Subscriber::new(self.id, sender, self.counters.clone()));
        self.counters.last().subscribed = Some(SystemTime::now());
        Ok(subscription)
    }

    /// Waits for the bus, up to the deadline.
    async fn up_for(&self, attempted: &str) -> Result<(), Error> {
        let is_up = timeout(self.options.deadline, self.bus.until_up()).await;
        is_up.map_err(|_| self.down(attempted))
    }

    /// Checks that the manager is open, and permits a message of `len` bytes.
    fn check(&self, len: usize) -> Result<(), Error> {
        if *self.is_closed.borrow() {
            return Err(closed());
        }
        check_size(len, &self.options)
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
}

impl Drop for MemoryManager {
    fn drop(&mut self) {
        self.bus.state().release(self.id);
    }
}
