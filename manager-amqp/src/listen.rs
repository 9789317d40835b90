//! A subscription: a queue of its own, one connection to it, and another one whenever that breaks.

mod queue;
mod window;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use manager_api::backend::{Attempts, Connected, Role, Status};
use manager_api::{Backoff, Error, Subscription, SubscriptionSender, Unsubscribed};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::config::AmqpOptions;
use crate::connect::{Connector, Link};
use crate::error::{Failure, timed_out};
use crate::replay::{Seen, Verdict};
use window::Window;

/// What the caller of `subscribe` waits for.
type Ready = oneshot::Sender<Result<Subscription, Error>>;

/// Everything a subscription needs to come back.
pub(crate) struct Listener {
    connector: Arc<Connector>,
    status: Arc<Status>,
    options: AmqpOptions,
    queue: String,
    arguments: FieldTable,
    /// Whether the queue was declared once, so that it may exist.
    is_declared: bool,
    /// Whether the queue was found gone, which is still to be admitted: it may be there again at the next attempt to connect.
    was_gone: bool,
    seen: Seen,
    window: Window,
}

/// A connection that consumes the queue.
struct Line {
    link: Link,
    channel: Channel,
    consumer: Consumer,
    /// Deliveries not acknowledged yet, and the tag of the latest.
    num_unacked: u16,
    last_tag: u64,
    /// Whether the consumer is to end because another window is wanted.
    is_resizing: bool,
}

/// Why listening on a connection ended.
enum End {
    Lost(Failure),
    Unsubscribed,
}

impl From<Unsubscribed> for End {
    fn from(_: Unsubscribed) -> Self {
        Self::Unsubscribed
    }
}

impl Listener {
    pub(crate) fn new(connector: Arc<Connector>, status: Arc<Status>, options: &AmqpOptions, queue: String) -> Self {
        let mut options = options.clone();
        options.prefetch = options.prefetch.max(1);
        Self {
            connector,
            status,
            arguments: options.queue.table(),
            is_declared: false,
            was_gone: false,
            seen: Seen::new(options.prefetch.into()),
            window: Window::new(options.prefetch, options.common.max_buffered_bytes),
            queue,
            options,
        }
    }

    /// Starts the task that declares the queue, listens, and removes the queue when nobody wants it any more.
    pub(crate) fn start(
        self,
        is_closed: watch::Receiver<bool>,
    ) -> (JoinHandle<()>, oneshot::Receiver<Result<Subscription, Error>>) {
        let (ready, subscribed) = oneshot::channel();
        (tokio::spawn(self.run(ready, is_closed)), subscribed)
    }

    async fn run(mut self, ready: Ready, mut is_closed: watch::Receiver<bool>) {
        // What was dropped half-way, the queue for one, is cleaned up below.
        let mut line = None;
        tokio::select! {
            // Also when the manager is dropped.
            _ = is_closed.wait_for(|is_closed| *is_closed) => {}
            () = self.serve(ready, &mut line) => {}
        }
        self.leave(line).await;
    }

    /// Listens until nobody does any more.
    async fn serve(&mut self, mut ready: Ready, slot: &mut Option<Line>) {
        let opened = tokio::select! {
            opened = self.open_within_deadline() => opened,
            // The caller gave up.
            () = ready.closed() => return,
        };
        match opened {
            Ok(line) => *slot = Some(line),
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        }
        let (sender, subscription) = Subscription::channel(self.options.common.max_buffered_bytes);
        let up = self.status.connected(Role::Listening, self.connector.label());
        if ready.send(Ok(subscription)).is_err() {
            return;
        }
        tokio::select! {
            () = sender.closed() => {}
            _ = self.listen_for_ever(slot, up, &sender) => {}
        }
    }

    async fn open_within_deadline(&mut self) -> Result<Line, Error> {
        let status = self.status.clone();
        let connector = self.connector.clone();
        let mut attempts = Attempts::new(&self.options.common, &status);
        loop {
            let timed_out = |deadline| timed_out(connector.label(), deadline);
            if let Some(outcome) = attempts.attempt(self.open(), timed_out).await {
                return outcome;
            }
        }
    }

    async fn listen_for_ever(
        &mut self,
        slot: &mut Option<Line>,
        mut up: Connected,
        sender: &SubscriptionSender,
    ) -> Result<(), Unsubscribed> {
        let mut backoff = Backoff::from_options(&self.options.common);
        while let Some(line) = slot {
            let since = Instant::now();
            let End::Lost(failure) = self.read_until_lost(line, sender).await else {
                return Err(Unsubscribed);
            };
            drop(up);
            // The broker must not take it for alive still: as long as it does, nobody else gets messages.
            *slot = None;
            self.status.failed(&failure);
            if since.elapsed() > self.options.common.backoff_base {
                backoff.reset();
            } else {
                // A broker that closes what it accepted is not asked again and again.
                sleep(backoff.next_delay()).await;
            }
            *slot = Some(self.reopen(&mut backoff).await);
            up = self.status.connected(Role::Listening, self.connector.label());
            if !std::mem::take(&mut self.was_gone) {
                self.seen.begin_replay();
                continue;
            }
            self.seen.clear();
            let reason = format!("the queue was gone when the connection was back ({failure})");
            self.admit(reason, sender)?;
        }
        Ok(())
    }

    async fn reopen(&mut self, backoff: &mut Backoff) -> Line {
        loop {
            match self.open().await {
                Ok(line) => return line,
                Err(failure) => self.status.failed(&failure),
            }
            sleep(backoff.next_delay()).await;
        }
    }

    /// Connects, and declares and consumes the queue; messages published from now on will be seen.
    async fn open(&mut self) -> Result<Line, Failure> {
        let connector = self.connector.clone();
        connector.within_timeout(self.try_open()).await
    }

    fn check_interval(&self) -> Duration {
        match self.options.check_interval {
            Duration::ZERO => Duration::MAX,
            interval => interval,
        }
    }

    /// Hands over messages until the connection is of no use any more; says why.
    async fn read_until_lost(&mut self, line: &mut Line, sender: &SubscriptionSender) -> End {
        loop {
            if let Err(end) = self.read_one(line, sender).await {
                return end;
            }
        }
    }

    async fn read_one(&mut self, line: &mut Line, sender: &SubscriptionSender) -> Result<(), End> {
        let next = match line.consumer.next().now_or_never() {
            Some(next) => next,
            None => {
                // Nothing more to do: a good moment for what is owed to the broker.
                self.acknowledge(line).await?;
                match timeout(self.check_interval(), line.consumer.next()).await {
                    Ok(next) => next,
                    Err(_) => return self.check(line, sender).await,
                }
            }
        };
        match next {
            Some(Ok(delivery)) => {
                let tag = delivery.delivery_tag;
                if self.window.note(delivery.data.len()) {
                    self.end_consumer(line).await?;
                }
                self.deliver(line, delivery, sender).await?;
                line.last_tag = tag;
                line.num_unacked += 1;
                if line.num_unacked > self.window.current() / 2 {
                    self.acknowledge(line).await?;
                }
                Ok(())
            }
            Some(Err(error)) => Err(End::Lost(self.connector.failure(error))),
            None if line.is_resizing => self.consume_again(line).await,
            None => {
                let label = self.connector.label();
                Err(End::Lost(Failure::other(
                    label,
                    "the broker ended the consumer, or the queue",
                )))
            }
        }
    }

    async fn deliver(&mut self, line: &mut Line, delivery: Delivery, sender: &SubscriptionSender) -> Result<(), End> {
        let id = delivery.properties.message_id().as_ref().map(|id| id.as_str());
        let key = self.seen.key(id, &delivery.data);
        match self.seen.judge(key, delivery.redelivered) {
            Verdict::New => {}
            Verdict::Duplicate => return Ok(()),
            Verdict::Doubtful => {
                let reason =
                    "equal messages without ids were delivered again, and which of them are new cannot be told";
                return Ok(self.admit(reason.to_owned(), sender)?);
            }
        }
        let len = delivery.data.len();
        let limit = self.options.common.max_message_bytes;
        if len > limit {
            self.admit(
                format!("a message of {len} bytes was skipped, which is over the limit of {limit}"),
                sender,
            )?;
        } else {
            self.hand_over(line, delivery.data.into(), sender).await?;
        }
        self.seen.push(key);
        Ok(())
    }

    async fn hand_over(&mut self, line: &mut Line, message: Bytes, sender: &SubscriptionSender) -> Result<(), End> {
        // Before it is handed over: whoever has a message finds it counted.
        self.status.received();
        if !sender.try_message(message.clone())? {
            // This may take long. Whatever fails now fails again at the next reading.
            let _ = self.acknowledge(line).await;
            sender.message(message).await?;
        }
        Ok(())
    }

    /// Acknowledges everything that was handed over.
    async fn acknowledge(&self, line: &mut Line) -> Result<(), End> {
        if line.num_unacked == 0 {
            return Ok(());
        }
        line.num_unacked = 0;
        let acked = line
            .channel
            .basic_ack(line.last_tag, BasicAckOptions { multiple: true });
        acked.await.map_err(|error| End::Lost(self.connector.failure(error)))
    }

    fn admit(&self, reason: String, sender: &SubscriptionSender) -> Result<(), Unsubscribed> {
        self.status.gap(&reason);
        sender.gap(reason)
    }
}
