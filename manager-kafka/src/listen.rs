//! The listening thread of a subscription.
//!
//! It uses [`Attempts`] and [`Feed`] as every manager does, but is not a
//! [`ListenLink`](manager_api::backend::ListenLink). librdkafka keeps and replaces its connections by itself: an
//! outage ends nothing, so that there is no connection to open again. A thread also needs no runtime that keeps
//! running.

mod begin;
mod look;
mod partitions;
mod place;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use manager_api::backend::{Attempts, Feed};
use manager_api::subscription::{Measured, Unsubscribed};
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
use begin::Begun;
pub(crate) use begin::{Beginning, Mark};
use partitions::{Positions, Step};
use place::{Place, Seen};

/// The maximum time for which the thread waits for messages before it checks whether the subscription has ended.
const LOOK: Duration = Duration::from_millis(100);
/// The limit of one request, after which it is repeated.
const SLICE: Duration = Duration::from_secs(1);
/// The pause between requests for a topic that is being created, which the broker does not announce.
const PAUSE: Duration = Duration::from_millis(10);

/// Makes what is delivered of a message.
pub(crate) type Make<M> = Box<dyn Fn(Mark, Bytes) -> M + Send>;
/// A subscription, and the offset behind the last message of the past if there is any.
type Subscribed<M> = Result<(Subscription<M>, Option<i64>), Error>;

/// Subscribes on a thread of its own, which ends with the subscription. It begins there, and delivers what `make` makes of each
/// message.
pub(crate) async fn subscribe<M: Measured + Send + 'static>(
    connector: Arc<Connector>,
    status: Arc<Status>,
    is_closed: watch::Receiver<bool>,
    beginning: Beginning,
    make: Make<M>,
) -> Subscribed<M> {
    let (reply, subscribed) = oneshot::channel();
    let limit = connector.deadline();
    let label = connector.label().to_owned();
    let thread = std::thread::Builder::new().name("sio-kafka-listen".to_owned());
    let started = thread.spawn(move || run(connector, status, is_closed, beginning, make, reply));
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
fn run<M: Measured + Send + 'static>(
    connector: Arc<Connector>,
    status: Arc<Status>,
    is_closed: watch::Receiver<bool>,
    beginning: Beginning,
    make: Make<M>,
    reply: oneshot::Sender<Subscribed<M>>,
) {
    let is_unwanted = || reply.is_closed() || is_over(&is_closed);
    let (place, begun) = match begin(connector, status, beginning, is_unwanted) {
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
    if let Some(reason) = begun.gap
        && feed.gap(reason).is_err()
    {
        return;
    }
    if reply.send(Ok((subscription, begun.end_of_past))).is_err() {
        return;
    }
    let next_look = deadline::after(place.connector.options.partition_refresh);
    let listener = KafkaListener {
        place,
        positions: begun.positions,
        expected: begun.expected,
        is_log: beginning != Beginning::End,
        make,
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

/// Begins to read, within the deadline; `None` once `is_over`.
fn begin(
    connector: Arc<Connector>,
    status: Arc<Status>,
    beginning: Beginning,
    is_over: impl Fn() -> bool,
) -> Result<Option<(Place, Begun)>, Error> {
    let place = Place::new(connector.clone(), status).map_err(unusable)?;
    let mut attempts = Attempts::new(&connector.options.common);
    while !is_over() {
        let left = attempts.until().saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(attempts.overdue(|deadline| timed_out(connector.label(), deadline)));
        }
        let pause = match attempt(&place, left.min(SLICE), |limit| place.begin(beginning, limit)) {
            Ok(Some(begun)) => return Ok(Some((place, begun))),
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
struct KafkaListener<M> {
    place: Place,
    positions: Positions,
    /// The message behind which it is to begin, until that was seen.
    expected: Option<Mark>,
    /// Whether it reads a log, which has one partition.
    is_log: bool,
    make: Make<M>,
    feed: Feed<M>,
    /// Waits for capacity in the subscription.
    waiting: Runtime,
    is_closed: watch::Receiver<bool>,
    /// A request for partitions in progress.
    look: Option<Receiver<Seen>>,
    next_look: Instant,
    /// The reason of the latest gap, if no message followed it.
    last_gap: Option<String>,
}

impl<M: Measured> KafkaListener<M> {
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
                    self.take(message.partition(), Mark::of(&message), payload)?;
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
    fn take(&mut self, partition: i32, mark: Mark, payload: &[u8]) -> Result<(), Unsubscribed> {
        let offset = mark.offset;
        if let Some(expected) = self.expected.take_if(|expected| expected.offset <= offset)
            && expected.offset == offset
        {
            return self.begin_behind(partition, expected, mark);
        }
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
        self.deliver((self.make)(mark, Bytes::copy_from_slice(payload)))
    }

    /// Handles the message behind which it is to begin: that is known, or there is another one in its place.
    fn begin_behind(&mut self, partition: i32, expected: Mark, found: Mark) -> Result<(), Unsubscribed> {
        if expected == found {
            self.positions.step(partition, found.offset);
            return Ok(());
        }
        self.resume(true, Some("the topic is another one than that of the position"))
    }

    /// Delivers a message. Reads nothing more until the subscriber has caught up; librdkafka then stops fetching.
    fn deliver(&mut self, message: M) -> Result<(), Unsubscribed> {
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
        if is_new {
            self.expected = None;
        }
        loop {
            self.check_wanted()?;
            let resume = |limit| self.place.resume(&self.positions, is_new, self.is_log, limit);
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
}
