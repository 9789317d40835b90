//! The listening thread of a subscription.
//!
//! It uses [`Attempts`] and [`Feed`] as every manager does, but is not a
//! [`ListenLink`](manager_api::backend::ListenLink). librdkafka keeps and replaces its connections by itself: an
//! outage ends nothing, so that there is no connection to open again. A thread also needs no runtime that keeps
//! running.

mod partitions;
mod place;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use manager_api::backend::{Attempts, Feed};
use manager_api::subscription::Unsubscribed;
use manager_api::{Backoff, Error, Subscription, deadline};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::connect::Connector;
use crate::error::{Failure, timed_out, unusable};
use crate::refusal::{Right, is_about_rights, is_gone, is_lost_place, is_unreadable};
use crate::status::{Role, Status};
use partitions::{Positions, Step};
use place::{Place, Seen};

/// The maximum time for which the thread waits for messages before it checks whether the subscription has ended.
const LOOK: Duration = Duration::from_millis(100);
/// The limit of one request, after which it is repeated.
const SLICE: Duration = Duration::from_secs(1);
/// The pause between requests for a topic that is being created, which the broker does not announce.
const PAUSE: Duration = Duration::from_millis(10);

type Subscribed = Result<Subscription, Error>;

/// Subscribes on a thread of its own, which ends with the subscription.
pub(crate) async fn subscribe(
    connector: Arc<Connector>,
    status: Arc<Status>,
    is_closed: watch::Receiver<bool>,
) -> Subscribed {
    let (reply, subscribed) = oneshot::channel();
    let limit = connector.deadline();
    let label = connector.label().to_owned();
    let thread = std::thread::Builder::new().name("sio-kafka-listen".to_owned());
    let started = thread.spawn(move || run(connector, status, is_closed, reply));
    if let Err(error) = started {
        return Err(Failure::other(format!("there is no thread: {error}")).unreachable(&label, limit));
    }
    // The thread observes the deadline; this is for one that hangs.
    match timeout(limit.saturating_add(SLICE), subscribed).await {
        Ok(Ok(subscribed)) => subscribed,
        _ => Err(timed_out(&label, limit)),
    }
}

/// The body of the thread: begins, reports to the caller, then listens.
fn run(
    connector: Arc<Connector>,
    status: Arc<Status>,
    is_closed: watch::Receiver<bool>,
    reply: oneshot::Sender<Subscribed>,
) {
    let begun = begin(connector, status, || reply.is_closed() || is_over(&is_closed));
    let (place, positions) = match begun {
        Ok(Some(begun)) => begun,
        Ok(None) => return,
        Err(error) => return drop(reply.send(Err(error))),
    };
    let (feed, subscription) = Feed::new(&place.connector.options.common, place.status.common.clone());
    let waiting = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::other(format!("there is no runtime: {error}"));
            let error = failure.unreachable(place.connector.label(), place.connector.deadline());
            return drop(reply.send(Err(error)));
        }
    };
    let _up = place.status.begins_to_listen();
    if reply.send(Ok(subscription)).is_err() {
        return;
    }
    let next_look = deadline::after(place.connector.options.partition_refresh);
    let listener = KafkaListener {
        place,
        positions,
        feed,
        waiting,
        is_closed,
        look: None,
        next_look,
        last_gap: None,
    };
    // The subscription was dropped, or the manager closed.
    let Err(Unsubscribed) = listener.listen_for_ever();
}

/// Returns whether the manager is closed, or was dropped.
fn is_over(is_closed: &watch::Receiver<bool>) -> bool {
    *is_closed.borrow() || is_closed.has_changed().is_err()
}

/// Begins to read at the end of the topic, within the deadline; `None` once `is_over`.
fn begin(
    connector: Arc<Connector>,
    status: Arc<Status>,
    is_over: impl Fn() -> bool,
) -> Result<Option<(Place, Positions)>, Error> {
    let place = Place::new(connector.clone(), status).map_err(unusable)?;
    let mut attempts = Attempts::new(&connector.options.common);
    while !is_over() {
        let left = attempts.until().saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(attempts.overdue(|deadline| timed_out(connector.label(), deadline)));
        }
        let pause = match attempt(&place, left.min(SLICE), |limit| place.begin(limit)) {
            Ok(Some(positions)) => return Ok(Some((place, positions))),
            Ok(None) => PAUSE,
            Err(failure) => attempts.failed(failure.unreachable(connector.label(), connector.deadline()))?,
        };
        pause_unless(pause.min(left), &is_over);
    }
    Ok(None)
}

/// Makes one attempt, explains and records its failure.
fn attempt<T>(place: &Place, limit: Duration, what: impl FnOnce(Duration) -> Result<T, Failure>) -> Result<T, Failure> {
    what(limit.max(Duration::from_millis(1))).map_err(|failure| {
        let failure = place.explained(failure, limit);
        place.status.failed(Role::Listening, &failure);
        failure
    })
}

/// Waits for `pause`, or until `is_over`.
fn pause_unless(pause: Duration, is_over: impl Fn() -> bool) {
    let until = deadline::after(pause);
    while !is_over() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(LOOK));
    }
}

/// The state of the thread.
struct KafkaListener {
    place: Place,
    positions: Positions,
    feed: Feed,
    /// Waits for capacity in the subscription.
    waiting: Runtime,
    is_closed: watch::Receiver<bool>,
    /// A request for partitions in progress.
    look: Option<Receiver<Seen>>,
    next_look: Instant,
    /// The reason of the latest gap, if no message followed it.
    last_gap: Option<String>,
}

impl KafkaListener {
    /// Listens until the subscription ends.
    fn listen_for_ever(mut self) -> Result<Infallible, Unsubscribed> {
        loop {
            self.check_wanted()?;
            self.look_for_partitions()?;
            // A clone, so that the message does not borrow the listener.
            let place = self.place.clone();
            match place.poll(LOOK) {
                None => {}
                Some(Ok(message)) => {
                    let payload = message.payload().unwrap_or_default();
                    self.take(message.partition(), message.offset(), payload)?;
                }
                Some(Err(error)) => self.failed(error)?,
            }
        }
    }

    /// Fails once the subscription has ended.
    fn check_wanted(&self) -> Result<(), Unsubscribed> {
        match self.is_over() {
            true => Err(Unsubscribed),
            false => Ok(()),
        }
    }

    /// Returns whether the subscription was dropped, or the manager closed.
    fn is_over(&self) -> bool {
        self.feed.is_closed() || is_over(&self.is_closed)
    }

    /// Handles one message.
    fn take(&mut self, partition: i32, offset: i64, payload: &[u8]) -> Result<(), Unsubscribed> {
        match self.positions.step(partition, offset) {
            Step::Old => return Ok(()),
            Step::Next => {}
            Step::After(expected) => {
                let last = offset - 1;
                self.gap(format!(
                    "offsets {expected} to {last} of partition {partition} are not there"
                ))?;
            }
        }
        self.last_gap = None;
        if !self.feed.accepts(payload.len()) {
            return self.feed.skip(payload.len());
        }
        self.place.status.up(Role::Listening);
        self.deliver(Bytes::copy_from_slice(payload))
    }

    /// Delivers a message. Reads nothing more until the subscriber has caught up; librdkafka then stops fetching.
    fn deliver(&mut self, message: Bytes) -> Result<(), Unsubscribed> {
        let mut delivered = pin!(self.feed.message(message));
        // It rarely waits, and entering the runtime takes longer than this.
        if let Poll::Ready(delivered) = delivered.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return delivered;
        }
        self.waiting.block_on(async {
            tokio::select! {
                delivered = delivered => delivered,
                // Also when the manager is dropped.
                _ = self.is_closed.wait_for(|is_closed| *is_closed) => Err(Unsubscribed),
            }
        })
    }

    /// Reports a gap, unless it repeats the latest one.
    fn gap(&mut self, reason: String) -> Result<(), Unsubscribed> {
        if self.last_gap.as_ref() == Some(&reason) {
            return Ok(());
        }
        self.last_gap = Some(reason.clone());
        self.feed.gap(reason)
    }

    /// Handles one error of the consumer.
    fn failed(&mut self, error: KafkaError) -> Result<(), Unsubscribed> {
        // The client has already reported it with more context.
        match error.rdkafka_error_code() {
            Some(code) if is_about_rights(code) => {
                let refusal = self.place.refused(Right::Read, "reading the topic", error);
                self.refused(refusal)
            }
            Some(code) if is_lost_place(code) => self.resume(false, Some("the messages that came next are gone")),
            Some(code) if is_gone(code) => {
                self.next_look = self.next_look.min(Instant::now() + LOOK);
                Ok(())
            }
            Some(code) if is_unreadable(code) => self.gap(format!("messages could not be read: {code}")),
            _ => Ok(()),
        }
    }

    /// Waits until what was refused is permitted, unhealthy and logged again and again; then continues where it was.
    fn refused(&mut self, mut refusal: Failure) -> Result<(), Unsubscribed> {
        let options = &self.place.connector.options;
        let mut backoff = Backoff::from_options(&options.common);
        let longest_pause = options.partition_refresh.max(LOOK);
        loop {
            self.place.status.down(Role::Listening);
            self.place.status.failed(Role::Listening, &refusal);
            pause_unless(backoff.next_delay().min(longest_pause), || self.is_over());
            self.check_wanted()?;
            match self.place.may_read(&self.positions, SLICE) {
                Ok(true) => break,
                Ok(false) => {}
                Err(failure) => refusal = failure,
            }
        }
        self.resume(false, None)?;
        self.place.status.up(Role::Listening);
        Ok(())
    }

    /// Continues to read where that is possible, and reports a gap for a known `reason`, or if the place in the
    /// topic has changed.
    fn resume(&mut self, is_new: bool, reason: Option<&str>) -> Result<(), Unsubscribed> {
        let mut backoff = Backoff::from_options(&self.place.connector.options.common);
        loop {
            self.check_wanted()?;
            let resume = |limit| self.place.resume(&self.positions, is_new, limit);
            let pause = match attempt(&self.place, SLICE, resume) {
                Ok(Some(positions)) => {
                    let is_elsewhere = positions != self.positions;
                    self.positions = positions;
                    return match reason.or(is_elsewhere.then_some("the messages that came next are gone")) {
                        Some(reason) => self.gap(reason.to_owned()),
                        None => Ok(()),
                    };
                }
                Ok(None) => PAUSE,
                Err(_) => backoff.next_delay(),
            };
            pause_unless(pause, || self.is_over());
        }
    }

    /// Handles new partitions, for which another thread looks from time to time, so that no message waits for it.
    fn look_for_partitions(&mut self) -> Result<(), Unsubscribed> {
        let Some(look) = &self.look else {
            self.start_to_look();
            return Ok(());
        };
        let answer = look.try_recv();
        let seen = match answer {
            Err(TryRecvError::Empty) => return Ok(()),
            Err(TryRecvError::Disconnected) => Seen::Nothing,
            Ok(seen) => seen,
        };
        self.look = None;
        match seen {
            Seen::Nothing => Ok(()),
            Seen::Gone => self.resume(true, Some("the topic was gone")),
            Seen::Refused(refusal) => self.refused(refusal),
            Seen::Partitions(partitions) => self.see(&partitions),
        }
    }

    /// Reads new partitions as well.
    fn see(&mut self, partitions: &[i32]) -> Result<(), Unsubscribed> {
        self.place.status.up(Role::Listening);
        if !self.positions.add_new(partitions) {
            return Ok(());
        }
        match attempt(&self.place, SLICE, |_| self.place.assign(&self.positions)) {
            Ok(()) => Ok(()),
            Err(_) => self.resume(false, Some("new partitions could not be read at once")),
        }
    }

    /// Starts the thread that looks for partitions, if that is due.
    fn start_to_look(&mut self) {
        let now = Instant::now();
        if !self.place.status.common.is_up(Role::Listening) {
            // So that health reports soon that the brokers are back.
            self.next_look = self.next_look.min(deadline::from(now, SLICE));
        }
        if now < self.next_look {
            return;
        }
        self.next_look = deadline::from(now, self.place.connector.options.partition_refresh.max(LOOK));
        let (answer, look) = sync_channel(1);
        let place = self.place.clone();
        let limit = place.connector.request_timeout().max(LOOK);
        let thread = std::thread::Builder::new().name("sio-kafka-look".to_owned());
        // Without a thread the next interval tries again.
        if thread.spawn(move || answer.send(place.look(limit))).is_ok() {
            self.look = Some(look);
        }
    }
}
