//! A subscription: a queue of its own, one connection to it, and another one whenever that breaks.

mod binding;
mod numbers;
mod queue;
mod window;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use manager_api::backend::{Attempts, Connected, Reconnect, Role, Status};
use manager_api::subscription::{SubscriptionSender, Unsubscribed};
use manager_api::{Backoff, Error, Subscription};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::config::{AmqpOptions, QueueKind};
use crate::connect::{Connector, Link};
use crate::error::{Failure, timed_out};
use crate::probe::{Mark, Prober};
use crate::replay::{Seen, Verdict};
use binding::{Binding, Means};
use numbers::Numbers;
pub(crate) use queue::LEAVE;
use window::Window;

/// What the caller of `subscribe` waits for.
type Ready = oneshot::Sender<Result<Subscription, Error>>;

/// Everything a subscription needs to come back.
pub(crate) struct Listener {
    connector: Arc<Connector>,
    status: Arc<Status>,
    options: AmqpOptions,
    /// What the queue was called at first, and is called after it had to be made elsewhere, and how often that was.
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
    /// Whether the queue was found gone, which is still to be admitted: it may be there again at the next attempt to connect.
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
struct ListenLink {
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
    pub(crate) fn new(
        connector: Arc<Connector>,
        status: Arc<Status>,
        options: &AmqpOptions,
        queue: String,
        doubts: watch::Receiver<u64>,
    ) -> Self {
        let mut options = options.clone();
        options.prefetch = options.prefetch.max(1);
        let (kind, falls_back) = options.first_queue_kind();
        let prober = Arc::new(Prober::new(connector.clone()));
        let means = Means {
            connector: connector.clone(),
            prober: prober.clone(),
            status: status.clone(),
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
            status,
            arguments: options.queue.table(),
            kind,
            falls_back,
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
        let mut link = None;
        tokio::select! {
            // Also when the manager is dropped.
            _ = is_closed.wait_for(|is_closed| *is_closed) => {}
            () = self.serve(ready, &mut link) => {}
        }
        self.leave(link).await;
    }

    /// Listens until nobody does any more.
    async fn serve(&mut self, mut ready: Ready, slot: &mut Option<ListenLink>) {
        let opened = tokio::select! {
            opened = self.open_within_deadline() => opened,
            // The caller gave up.
            () = ready.closed() => return,
        };
        match opened {
            Ok(link) => *slot = Some(link),
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

    async fn open_within_deadline(&mut self) -> Result<ListenLink, Error> {
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
        slot: &mut Option<ListenLink>,
        mut up: Connected,
        sender: &SubscriptionSender,
    ) -> Result<(), Unsubscribed> {
        let mut reconnect = Reconnect::from_options(&self.options.common);
        while let Some(link) = slot {
            let since = Instant::now();
            let End::Lost(failure) = self.read_until_lost(link, sender).await else {
                return Err(Unsubscribed);
            };
            drop(up);
            self.binding.halt().await;
            // The broker must not take it for alive still: as long as it does, nobody else gets messages.
            *slot = None;
            self.status.lost(&failure);
            sleep(reconnect.after_connection(since.elapsed())).await;
            let link = slot.insert(self.reopen(&mut reconnect).await);
            up = self.status.connected(Role::Listening, self.connector.label());
            if !std::mem::take(&mut self.was_gone) {
                self.seen.begin_replay();
                self.binding.begin(&self.queue, &link.channel, true);
                continue;
            }
            self.seen.clear();
            self.binding.reset();
            let reason = format!("the queue was gone when the connection was back ({failure})");
            self.admit(reason, sender)?;
        }
        Ok(())
    }

    async fn reopen(&mut self, reconnect: &mut Reconnect) -> ListenLink {
        loop {
            match self.open().await {
                Ok(link) => return link,
                Err(failure) => self.status.lost(&failure),
            }
            sleep(reconnect.after_failure()).await;
        }
    }

    /// Connects, and declares and consumes the queue; messages published from now on will be seen.
    async fn open(&mut self) -> Result<ListenLink, Failure> {
        let connector = self.connector.clone();
        let kind = self.kind;
        let opened = connector.within_timeout(self.try_open()).await;
        if opened.is_err() && self.kind != kind {
            return connector.within_timeout(self.try_open()).await;
        }
        opened
    }

    /// Hands over messages until the connection is of no use any more; says why.
    async fn read_until_lost(&mut self, link: &mut ListenLink, sender: &SubscriptionSender) -> End {
        loop {
            if let Err(end) = self.read_one(link, sender).await {
                return end;
            }
        }
    }

    async fn read_one(&mut self, link: &mut ListenLink, sender: &SubscriptionSender) -> Result<(), End> {
        if self.binding.is_owed() {
            return self.settle(sender).await;
        }
        let next = match link.consumer.next().now_or_never() {
            Some(next) => next,
            None => {
                // Nothing more to do: a good moment for what is owed to the broker.
                self.acknowledge(link).await?;
                let next = tokio::select! {
                    biased;
                    next = link.consumer.next() => Some(next),
                    // Once nothing is published by this manager any more, it has no doubts.
                    Ok(()) = self.doubts.changed() => None,
                    () = sleep(self.binding.patience()) => None,
                };
                let Some(next) = next else {
                    self.ask(link);
                    return Ok(());
                };
                next
            }
        };
        match next {
            Some(Ok(delivery)) => {
                let tag = delivery.delivery_tag;
                if self.window.note(delivery.data.len()) {
                    self.end_consumer(link).await?;
                }
                self.deliver(link, delivery, sender).await?;
                link.last_tag = tag;
                link.num_unacked += 1;
                if link.num_unacked > self.window.current() / 2 {
                    self.acknowledge(link).await?;
                }
                Ok(())
            }
            Some(Err(error)) => Err(End::Lost(self.connector.failure(error))),
            None if link.is_resizing => self.consume_again(link).await,
            None => {
                let label = self.connector.label();
                Err(End::Lost(Failure::other(
                    label,
                    "the broker ended the consumer, or the queue",
                )))
            }
        }
    }

    /// Begins to find out what silence means: that nothing is published, or that the queue is not bound.
    fn ask(&mut self, link: &ListenLink) {
        self.binding.begin(&self.queue, &link.channel, false);
    }

    /// Admits what was found out, as soon as nothing is lost any more.
    async fn settle(&mut self, sender: &SubscriptionSender) -> Result<(), End> {
        let reason = self.binding.settle().await.map_err(End::Lost)?;
        match reason {
            Some(reason) => Ok(self.admit(reason.to_owned(), sender)?),
            None => Ok(()),
        }
    }

    async fn deliver(
        &mut self,
        link: &mut ListenLink,
        delivery: Delivery,
        sender: &SubscriptionSender,
    ) -> Result<(), End> {
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
                return Ok(self.admit(reason.to_owned(), sender)?);
            }
        }
        if let Some(id) = id
            && let missing @ 1.. = self.numbers.note(id)
        {
            self.admit(format!("{missing} messages of a publisher never came"), sender)?;
            self.numbers.note(id);
        }
        let len = delivery.data.len();
        let limit = self.options.common.max_message_bytes;
        if len > limit {
            self.admit(
                format!("a message of {len} bytes was skipped, which is over the limit of {limit}"),
                sender,
            )?;
        } else {
            self.hand_over(link, delivery.data.into(), sender).await?;
        }
        self.seen.push(key);
        Ok(())
    }

    async fn hand_over(
        &mut self,
        link: &mut ListenLink,
        message: Bytes,
        sender: &SubscriptionSender,
    ) -> Result<(), End> {
        // Before it is handed over: whoever has a message finds it counted.
        self.status.received();
        if !sender.try_message(message.clone())? {
            // This may take long. Whatever fails now fails again at the next reading.
            let _ = self.acknowledge(link).await;
            sender.message(message).await?;
        }
        Ok(())
    }

    /// Acknowledges everything that was handed over.
    async fn acknowledge(&self, link: &mut ListenLink) -> Result<(), End> {
        if link.num_unacked == 0 {
            return Ok(());
        }
        link.num_unacked = 0;
        let acked = link
            .channel
            .basic_ack(link.last_tag, BasicAckOptions { multiple: true });
        acked.await.map_err(|error| End::Lost(self.connector.failure(error)))
    }

    fn admit(&mut self, reason: String, sender: &SubscriptionSender) -> Result<(), Unsubscribed> {
        // What is missing is admitted once.
        self.numbers.clear();
        self.status.gap(&reason);
        sender.gap(reason)
    }
}
