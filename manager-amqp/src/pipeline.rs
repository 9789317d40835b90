//! The pipeline: sends queued messages over one channel without waiting, and matches the broker's confirms.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt};
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel, Confirmation, Event};
use manager_api::backend::Job;
use manager_api::{Error, deadline};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::connect::Link;
use crate::error::{Failure, Step, Trouble, refused, unconfirmed};
use crate::publish::Queue;

/// The number of messages sent before confirms are read.
const BATCH: usize = 256;
/// The number of such rounds before the task yields.
const MAX_ROUNDS: usize = 8;
/// The delivery modes of AMQP: a durable queue stores the message on disk, or keeps it in memory.
const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;

/// One channel in use, polled until its connection is lost.
pub(crate) struct Pipeline<'a> {
    queue: &'a Queue,
    link: &'a Link,
    channel: Channel,
    events: BoxStream<'static, Event>,
    properties: BasicProperties,
    num_sent: u64,
    /// Distinguishes this channel's message ids from those of earlier ones.
    began: u64,
    /// Why the broker accepts no messages for now, if it does not.
    blocked: Option<String>,
    flights: VecDeque<Flight>,
    /// The number of jobs at the front of `flights` whose callers were notified of their deadlines.
    num_expired: usize,
    timer: Pin<Box<Sleep>>,
}

/// One message without its confirm.
struct Flight {
    confirm: BoxFuture<'static, lapin::Result<Confirmation>>,
    /// Counts against the queue's limit until it is confirmed, because the client library holds the message,
    /// even if its caller waits no longer.
    job: Job,
}

impl<'a> Pipeline<'a> {
    /// Creates a pipeline on a channel with confirms.
    pub(crate) fn new(queue: &'a Queue, link: &'a Link, channel: Channel) -> Self {
        let delivery_mode = match queue.link.connector.is_durable {
            true => PERSISTENT,
            // After the restart for which it would be stored, no queue would be bound.
            false => TRANSIENT,
        };
        // As kombu does, so that every peer reads it.
        let properties = BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_content_encoding("utf-8".into())
            .with_delivery_mode(delivery_mode)
            .with_priority(0);
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            queue,
            link,
            channel,
            events: link.connection.events_listener().boxed(),
            properties,
            num_sent: 0,
            began: since_epoch.map_or(0, |since| since.as_micros() as u64),
            blocked: None,
            flights: VecDeque::new(),
            num_expired: 0,
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Sends and receives as much as possible; ready when the connection is lost, or the queue is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Arc<Failure>>> {
        self.queue.register(cx.waker());
        self.poll_events(cx)?;
        for round in 0.. {
            let num_sent = self.send()?;
            self.poll_confirms(cx)?;
            if num_sent == 0 {
                break;
            }
            if round == MAX_ROUNDS {
                cx.waker().wake_by_ref();
                break;
            }
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            self.expire();
            let next = self.next_due();
            self.timer.as_mut().reset(next);
        }
        match self.flights.is_empty() && self.queue.is_over() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    /// Fails the jobs that were sent, once the connection is lost.
    pub(crate) fn abandon(&mut self, failure: &Arc<Failure>) {
        self.fail_flights(|| failure.lost());
    }

    /// Fails every job in flight.
    fn fail_flights(&mut self, error: impl Fn() -> Error) {
        self.num_expired = 0;
        for flight in self.flights.drain(..) {
            self.queue.fail(flight.job, error());
        }
    }

    /// Reads events of the connection: blocked, unblocked, closed.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Result<(), Arc<Failure>> {
        while let Poll::Ready(event) = pin!(&mut self.events).poll_next(cx) {
            match event {
                Some(Event::ConnectionBlocked(reason)) => self.set_blocked(&reason),
                Some(Event::ConnectionUnblocked) => {
                    self.blocked = None;
                    self.queue.set_trouble(None);
                }
                Some(Event::Error(error)) => return Err(self.failure(error)),
                Some(_) => {}
                None if self.has_pending_confirm() => break,
                None => return Err(self.gone()),
            }
        }
        Ok(())
    }

    /// Returns whether a confirm is pending: it will report why the channel was closed, such as a missing right.
    fn has_pending_confirm(&self) -> bool {
        self.num_expired < self.flights.len()
    }

    /// Records that the broker accepts no messages for now.
    fn set_blocked(&mut self, reason: &str) {
        let failure = Failure::blocked(self.queue.link.connector.label(), reason);
        self.queue.status.failed(&failure);
        self.queue.set_trouble(Some(Arc::new(failure)));
        self.blocked = Some(reason.to_owned());
    }

    /// Passes queued messages to the client library. Those that cannot be sent now stay queued, where they can
    /// expire unsent.
    fn send(&mut self) -> Result<usize, Arc<Failure>> {
        let limit = self.queue.link.max_unconfirmed.max(1);
        let mut count = 0;
        while count < BATCH && self.flights.len() < limit && self.blocked.is_none() {
            if !self.is_alive() {
                match self.has_pending_confirm() {
                    true => break,
                    false => return Err(self.gone()),
                }
            }
            let Some(job) = self.queue.next_job() else { break };
            self.send_one(job);
            count += 1;
        }
        Ok(count)
    }

    /// Passes one message to the client library.
    fn send_one(&mut self, mut job: Job) {
        let mut confirm = self.publish(std::mem::take(&mut job.message));
        // The first poll sends. The outcome is polled again when it is this message's turn.
        let early = confirm.poll_unpin(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(done) = early {
            confirm = std::future::ready(done).boxed();
        }
        self.flights.push_back(Flight { confirm, job });
    }

    /// Returns the future of a publish and its confirm.
    fn publish(&mut self, message: Bytes) -> BoxFuture<'static, lapin::Result<Confirmation>> {
        self.num_sent += 1;
        let id = format!("{}-{:x}-{}", self.queue.link.host_id, self.began, self.num_sent);
        let properties = self.properties.clone().with_message_id(id.into());
        let exchange = self.queue.link.connector.exchange().into();
        let channel = self.channel.clone();
        async move {
            let options = BasicPublishOptions {
                // So that a message without a queue is reported.
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let sent = channel.basic_publish(exchange, "".into(), options, &message, properties);
            sent.await?.await
        }
        .boxed()
    }

    /// Takes confirms in the order of the messages: one waker serves all of them.
    fn poll_confirms(&mut self, cx: &mut Context<'_>) -> Result<(), Arc<Failure>> {
        let (mut count, mut cost) = (0, 0);
        let outcome = loop {
            let Some(first) = self.flights.front_mut() else {
                break Ok(());
            };
            match first.confirm.poll_unpin(cx) {
                Poll::Pending => break Ok(()),
                Poll::Ready(Err(error)) => break Err(self.failure(error)),
                Poll::Ready(Ok(Confirmation::Ack(returned))) => {
                    if returned.is_some() {
                        self.queue.status.unheard();
                        self.queue.link.unheard();
                    }
                    self.queue.accept(&mut first.job);
                }
                Poll::Ready(Ok(_)) => {
                    let refused = refused(self.queue.link.connector.label());
                    self.queue.give_up(&mut first.job, refused);
                }
            }
            count += 1;
            cost += first.job.cost();
            self.flights.pop_front();
            self.num_expired = self.num_expired.saturating_sub(1);
        };
        if count > 0 {
            self.queue.release(count, cost);
        }
        outcome
    }

    /// Notifies callers whose deadline passed. Jobs in flight are not released: the client library still holds
    /// their messages.
    fn expire(&mut self) {
        self.queue.expire();
        let deadline = self.queue.deadline();
        while let Some(flight) = self.flights.get_mut(self.num_expired) {
            if flight.job.since.elapsed() < deadline {
                break;
            }
            let place = self.queue.link.connector.label();
            self.queue
                .give_up(&mut flight.job, unconfirmed(place, deadline, self.blocked.as_deref()));
            self.num_expired += 1;
        }
    }

    /// Returns the next deadline of a job; never later than that of any job queued from now on.
    fn next_due(&self) -> Instant {
        let oldest = self.flights.get(self.num_expired);
        let due = oldest.map(|flight| deadline::from(flight.job.since, self.queue.deadline()));
        due.into_iter().fold(self.queue.next_due(), Instant::min)
    }

    /// Returns whether connection and channel are open, as far as is known.
    fn is_alive(&self) -> bool {
        self.link.connection.status().connected() && self.channel.status().connected()
    }

    /// Creates the failure of a connection that was closed without a cause.
    fn gone(&self) -> Arc<Failure> {
        let label = self.queue.link.connector.label();
        Arc::new(Failure::other(label, "the connection was closed"))
    }

    /// Creates the failure of a publish.
    fn failure(&self, error: lapin::Error) -> Arc<Failure> {
        let connector = &self.queue.link.connector;
        let step = Box::new(Step::Publish(connector.exchange().to_owned()));
        Arc::new(connector.failure(Trouble { step, error }))
    }
}

/// The task may be aborted: the remaining jobs fail as if their deadlines had passed.
impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        let queue = self.queue;
        self.fail_flights(|| unconfirmed(queue.link.connector.label(), queue.deadline(), None));
    }
}
