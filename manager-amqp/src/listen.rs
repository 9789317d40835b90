//! The listening side of a subscription: a queue of its own, and one connection that consumes it.

mod binding;
mod numbers;
mod proof;
mod queue;
mod replay;
mod window;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use manager_api::backend::{self, Feed, ListenLink, Resumed, Status};
use manager_api::subscription::Unsubscribed;
use manager_api::{Backoff, Error};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::config::{AmqpOptions, QueueKind};
use crate::connect::{Connector, Link};
use crate::error::{Failure, timed_out};
use binding::{Binding, Means};
use numbers::Numbers;
use proof::{Mark, Prober};
use replay::{Seen, Verdict};
use window::Window;

type End = backend::End<Failure>;

/// One subscription: its queue, and what was read from it.
pub(crate) struct AmqpListener {
    connector: Arc<Connector>,
    /// The name of the queue at first, its current one after it had to be declared elsewhere, and how often that was.
    first_queue: String,
    queue: String,
    num_moves: u32,
    arguments: FieldTable,
    /// The kind of queue that is declared, and whether a durable one follows if the broker refuses it.
    kind: QueueKind,
    falls_back: bool,
    /// Whether the queue was declared once, so that it may exist.
    is_declared: bool,
    /// Whether the queue was declared, bound and consumed once.
    was_open: bool,
    /// Whether the queue was found gone, which is not reported yet: it may exist again at the next attempt to connect.
    was_gone: bool,
    prober: Arc<Prober>,
    binding: Binding,
    /// Rises whenever the publisher has reason to doubt that the queue is bound.
    doubts: watch::Receiver<u64>,
    seen: Seen,
    numbers: Numbers,
    window: Window,
}

/// A connection that consumes the queue.
pub(crate) struct QueueConnection {
    link: Link,
    channel: Channel,
    consumer: Consumer,
    /// Deliveries not acknowledged yet, and the tag of the latest.
    num_unacked: u16,
    last_tag: u64,
    /// Whether the consumer is to end because another window is wanted.
    is_resizing: bool,
}

impl ListenLink for AmqpListener {
    type Failure = Failure;
    type Connection = QueueConnection;
    type Message = Bytes;

    /// Connects, and declares and consumes the queue.
    async fn open(&mut self) -> Result<QueueConnection, Failure> {
        let connector = self.connector.clone();
        let kind = self.kind;
        let opened = connector.within_timeout(self.try_open()).await;
        if opened.is_err() && self.kind != kind {
            return connector.within_timeout(self.try_open()).await;
        }
        opened
    }

    async fn read(&mut self, connection: &mut QueueConnection, feed: &Feed) -> Result<Infallible, End> {
        loop {
            self.read_one(connection, feed).await?;
        }
    }

    async fn lost(&mut self) {
        self.binding.halt().await;
    }

    /// The queue has collected what was published meanwhile, unless it is gone; whether it was bound is yet to be
    /// proven.
    fn resumed(&mut self, connection: &mut QueueConnection, failure: &Failure) -> Resumed {
        if !std::mem::take(&mut self.was_gone) {
            self.seen.begin_replay();
            self.binding.begin(&self.queue, &connection.channel, true);
            return Resumed::Continues;
        }
        self.seen.clear();
        self.binding.reset();
        self.numbers.clear();
        Resumed::Gap(format!("the queue was gone when the connection was back ({failure})"))
    }

    /// Removes the queue.
    async fn leave(&mut self, connection: Option<QueueConnection>) {
        self.binding.halt().await;
        let closed = self.prober.close();
        tokio::join!(closed, self.remove_queue(connection));
    }

    fn address(&self, _: &QueueConnection) -> String {
        self.connector.label().to_owned()
    }

    fn timed_out(&self, deadline: Duration) -> Error {
        timed_out(self.connector.label(), deadline)
    }
}

impl AmqpListener {
    /// Creates a listener, which is not connected and has not declared its queue.
    pub(crate) fn new(
        connector: Arc<Connector>,
        status: Arc<Status>,
        options: &AmqpOptions,
        queue: String,
        doubts: watch::Receiver<u64>,
    ) -> Self {
        let prefetch = options.prefetch.max(1);
        let (kind, falls_back) = options.first_queue_kind();
        let prober = Arc::new(Prober::new(connector.clone()));
        let means = Means {
            connector: connector.clone(),
            prober: prober.clone(),
            status,
            backoff: Backoff::from_options(&options.common),
        };
        Self {
            prober,
            binding: Binding::new(means, options.check_interval),
            doubts,
            numbers: Numbers::default(),
            first_queue: queue.clone(),
            num_moves: 0,
            was_open: false,
            connector,
            arguments: options.queue.table(),
            kind,
            falls_back,
            is_declared: false,
            was_gone: false,
            seen: Seen::new(prefetch.into()),
            window: Window::new(prefetch, options.common.max_buffered_bytes),
            queue,
        }
    }

    /// Reads the next delivery, or waits for it.
    async fn read_one(&mut self, connection: &mut QueueConnection, feed: &Feed) -> Result<(), End> {
        if self.binding.is_owed() {
            return self.settle(feed).await;
        }
        let next = match connection.consumer.next().now_or_never() {
            Some(next) => next,
            None => {
                // Nothing is waiting: the moment to acknowledge.
                self.acknowledge(connection).await?;
                let next = tokio::select! {
                    biased;
                    next = connection.consumer.next() => Some(next),
                    // Ends with the publisher.
                    Ok(()) = self.doubts.changed() => None,
                    () = sleep(self.binding.patience()) => None,
                };
                let Some(next) = next else {
                    self.binding.begin(&self.queue, &connection.channel, false);
                    return Ok(());
                };
                next
            }
        };
        match next {
            Some(Ok(delivery)) => {
                let tag = delivery.delivery_tag;
                if self.window.note(delivery.data.len()) {
                    self.end_consumer(connection).await?;
                }
                self.deliver(connection, delivery, feed).await?;
                connection.last_tag = tag;
                connection.num_unacked += 1;
                if connection.num_unacked > self.window.current() / 2 {
                    self.acknowledge(connection).await?;
                }
                Ok(())
            }
            Some(Err(error)) => Err(End::Lost(self.connector.failure(error))),
            None if connection.is_resizing => self.consume_again(connection).await,
            None => {
                let label = self.connector.label();
                Err(End::Lost(Failure::other(
                    label,
                    "the broker ended the consumer, or the queue",
                )))
            }
        }
    }

    /// Reports the loss that a proof found, once the queue is bound again.
    async fn settle(&mut self, feed: &Feed) -> Result<(), End> {
        let reason = self.binding.settle().await.map_err(End::Lost)?;
        match reason {
            Some(reason) => Ok(self.report_gap(reason, feed)?),
            None => Ok(()),
        }
    }

    /// Handles one delivery: a mark, a repetition, or a message.
    async fn deliver(&mut self, connection: &mut QueueConnection, delivery: Delivery, feed: &Feed) -> Result<(), End> {
        if let Some(mark) = Mark::of(&delivery.properties, &self.queue) {
            self.binding.note(mark);
            return Ok(());
        }
        let id = delivery.properties.message_id().as_ref().map(|id| id.as_str());
        let key = self.seen.key(id, &delivery.data);
        match self.seen.judge(key, delivery.redelivered) {
            Verdict::New => {}
            Verdict::Duplicate => return Ok(()),
            Verdict::Doubtful => {
                let reason =
                    "equal messages without ids were delivered again, and which of them are new cannot be told";
                return Ok(self.report_gap(reason, feed)?);
            }
        }
        if let Some(id) = id
            && let missing @ 1.. = self.numbers.note(id)
        {
            self.report_gap(format!("{missing} messages of a publisher never came"), feed)?;
            self.numbers.note(id);
        }
        let len = delivery.data.len();
        if feed.accepts(len) {
            self.hand_over(connection, delivery.data.into(), feed).await?;
        } else {
            self.numbers.clear();
            feed.skip(len)?;
        }
        self.seen.push(key);
        Ok(())
    }

    /// Delivers one message.
    async fn hand_over(
        &mut self,
        connection: &mut QueueConnection,
        message: Bytes,
        feed: &Feed,
    ) -> Result<(), Unsubscribed> {
        let acknowledged = async {
            // The wait may take long. A failure shows again at the next reading.
            let _ = self.acknowledge(connection).await;
        };
        feed.message_after(message, acknowledged).await
    }

    /// Acknowledges every message that was delivered.
    async fn acknowledge(&self, connection: &mut QueueConnection) -> Result<(), End> {
        if connection.num_unacked == 0 {
            return Ok(());
        }
        connection.num_unacked = 0;
        let acked = connection
            .channel
            .basic_ack(connection.last_tag, BasicAckOptions { multiple: true });
        acked.await.map_err(|error| End::Lost(self.connector.failure(error)))
    }

    /// Reports a gap.
    fn report_gap(&mut self, reason: impl Into<String>, feed: &Feed) -> Result<(), Unsubscribed> {
        // What is missing is reported once.
        self.numbers.clear();
        feed.gap(reason)
    }
}
