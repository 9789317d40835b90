//! One channel that takes what is queued, sends it, and matches the broker's confirms.

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

/// How many messages are sent before confirms are looked at.
const BATCH: usize = 256;
/// How often that is done before other tasks have their turn.
const MAX_ROUNDS: usize = 8;
/// AMQP's words for a message that a durable queue writes down, or keeps in memory.
const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;

/// One channel at work: polled until its connection is lost.
pub(crate) struct Pipeline<'a> {
    queue: &'a Queue,
    link: &'a Link,
    channel: Channel,
    events: BoxStream<'static, Event>,
    properties: BasicProperties,
    num_sent: u64,
    /// Distinguishes this channel's message ids from those of earlier ones.
    began: u64,
    is_blocked: bool,
    flights: VecDeque<Flight>,
    /// How many at the front of `flights` were told that their deadline passed.
    num_expired: usize,
    timer: Pin<Box<Sleep>>,
}

/// One message that is not confirmed yet.
struct Flight {
    confirm: BoxFuture<'static, lapin::Result<Confirmation>>,
    /// Holds its room until it is confirmed: what the client library holds counts as in flight, whether or not anybody still waits for it.
    job: Job,
}

impl<'a> Pipeline<'a> {
    pub(crate) fn new(queue: &'a Queue, link: &'a Link, channel: Channel) -> Self {
        let delivery_mode = match queue.link.connector.is_durable {
            true => PERSISTENT,
            // No queue is bound any more after the restart for which it would be written down.
            false => TRANSIENT,
        };
        // What kombu writes, so that every peer reads it.
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
            is_blocked: false,
            flights: VecDeque::new(),
            num_expired: 0,
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Sends and receives whatever can be; ready when the connection is lost, or everything is over.
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

    /// Answers everybody whose message was on its way.
    pub(crate) fn abandon(&mut self, failure: &Arc<Failure>) {
        self.fail_flights(|| failure.lost());
    }

    fn fail_flights(&mut self, error: impl Fn() -> Error) {
        self.num_expired = 0;
        for flight in self.flights.drain(..) {
            self.queue.fail(flight.job, error());
        }
    }

    fn poll_events(&mut self, cx: &mut Context<'_>) -> Result<(), Arc<Failure>> {
        while let Poll::Ready(event) = pin!(&mut self.events).poll_next(cx) {
            match event {
                Some(Event::ConnectionBlocked(reason)) => self.set_blocked(&reason),
                Some(Event::ConnectionUnblocked) => {
                    self.is_blocked = false;
                    self.queue.set_trouble(None);
                }
                Some(Event::Error(error)) => return Err(self.failure(error)),
                Some(_) => {}
                None if self.is_told_why() => break,
                None => return Err(self.gone()),
            }
        }
        Ok(())
    }

    /// Whether a message waits for its confirm, which says why the channel was closed: a right that is missing, say.
    fn is_told_why(&self) -> bool {
        self.num_expired < self.flights.len()
    }

    fn set_blocked(&mut self, reason: &str) {
        let failure = Failure::blocked(self.queue.link.connector.label(), reason);
        self.queue.status.failed(&failure);
        self.queue.set_trouble(Some(Arc::new(failure)));
        self.is_blocked = true;
    }

    /// Hands queued messages to the client library; what it cannot send now stays queued here, where it can still expire unsent.
    fn send(&mut self) -> Result<usize, Arc<Failure>> {
        let limit = self.queue.link.max_unconfirmed.max(1);
        let mut count = 0;
        while count < BATCH && self.flights.len() < limit && !self.is_blocked {
            if !self.is_alive() {
                match self.is_told_why() {
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

    fn send_one(&mut self, mut job: Job) {
        let mut confirm = self.publish(std::mem::take(&mut job.message));
        // The first poll sends. What it waits for is asked when it is this message's turn.
        let early = confirm.poll_unpin(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(done) = early {
            confirm = std::future::ready(done).boxed();
        }
        self.flights.push_back(Flight { confirm, job });
    }

    fn publish(&mut self, message: Bytes) -> BoxFuture<'static, lapin::Result<Confirmation>> {
        self.num_sent += 1;
        let id = format!("{}-{:x}-{}", self.queue.link.host_id, self.began, self.num_sent);
        let properties = self.properties.clone().with_message_id(id.into());
        let exchange = self.queue.link.connector.exchange().into();
        let channel = self.channel.clone();
        async move {
            let options = BasicPublishOptions {
                // So that it is told what no queue was there for.
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

    /// Tells those whose deadline passed. The room of those on their way is not given back: the message is still held.
    fn expire(&mut self) {
        self.queue.expire();
        let deadline = self.queue.deadline();
        while let Some(flight) = self.flights.get_mut(self.num_expired) {
            if flight.job.since.elapsed() < deadline {
                break;
            }
            let place = self.queue.link.connector.label();
            self.queue.give_up(&mut flight.job, unconfirmed(place, deadline));
            self.num_expired += 1;
        }
    }

    /// When the next caller's deadline passes; never later than that of whoever comes from now on.
    fn next_due(&self) -> Instant {
        let oldest = self.flights.get(self.num_expired);
        let due = oldest.map(|flight| deadline::from(flight.job.since, self.queue.deadline()));
        due.into_iter().fold(self.queue.next_due(), Instant::min)
    }

    fn is_alive(&self) -> bool {
        self.link.connection.status().connected() && self.channel.status().connected()
    }

    fn gone(&self) -> Arc<Failure> {
        let label = self.queue.link.connector.label();
        Arc::new(Failure::other(label, "the connection was closed"))
    }

    fn failure(&self, error: lapin::Error) -> Arc<Failure> {
        let connector = &self.queue.link.connector;
        let step = Box::new(Step::Publish(connector.exchange().to_owned()));
        Arc::new(connector.failure(Trouble { step, error }))
    }
}

/// The task may end before its time, too: whoever still waits is told that the deadline passed.
impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        let queue = self.queue;
        self.fail_flights(|| unconfirmed(queue.link.connector.label(), queue.deadline()));
    }
}
