//! A subscription: the thread that reads for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use manager_api::subscription::{SubscriptionSender, Unsubscribed};
use manager_api::{Backoff, Error, Subscription, deadline};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::connect::Connector;
use crate::error::{Failure, timed_out, unusable};
use crate::partitions::{Positions, Step};
use crate::place::{Place, Seen, is_gone, is_lost_place, is_unreadable};
use crate::rights::{Right, is_about_rights};
use crate::status::{Role, Status};

/// The longest that the thread waits for the brokers before it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// The longest that one request may take before it is tried again.
const SLICE: Duration = Duration::from_secs(1);
/// Between two looks at a topic that is being created, of which the broker gives no sign.
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
    // The thread watches the time; this is for one that hangs.
    match timeout(limit.saturating_add(SLICE), subscribed).await {
        Ok(Ok(subscribed)) => subscribed,
        _ => Err(timed_out(&label, limit)),
    }
}

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
    let (sender, subscription) = Subscription::channel(place.connector.options.common.max_buffered_bytes);
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
    let listener = Listener {
        place,
        positions,
        sender,
        waiting,
        is_closed,
        look: None,
        next_look,
        last_gap: None,
    };
    // The subscription was dropped, or the manager closed.
    let Err(Unsubscribed) = listener.listen_for_ever();
}

/// Tells whether the manager is closed, or was dropped.
fn is_over(is_closed: &watch::Receiver<bool>) -> bool {
    *is_closed.borrow() || is_closed.has_changed().is_err()
}

/// Begins to read at the end of the topic, within the deadline; `None` if nobody waits any more.
fn begin(
    connector: Arc<Connector>,
    status: Arc<Status>,
    is_over: impl Fn() -> bool,
) -> Result<Option<(Place, Positions)>, Error> {
    let limit = deadline::after(connector.deadline());
    let place = Place::new(connector.clone(), status).map_err(unusable)?;
    let mut backoff = Backoff::from_options(&connector.options.common);
    let mut last = None;
    while !is_over() {
        let left = limit.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(match last {
                Some(failure) => Failure::unreachable(&failure, connector.label(), connector.deadline()),
                None => timed_out(connector.label(), connector.deadline()),
            });
        }
        let pause = match attempt(&place, left.min(SLICE), |limit| place.begin(limit)) {
            Ok(Some(positions)) => return Ok(Some((place, positions))),
            Ok(None) => PAUSE,
            Err(failure) if failure.is_refused() => {
                return Err(failure.unreachable(connector.label(), connector.deadline()));
            }
            Err(failure) => {
                last = Some(failure);
                backoff.next_delay()
            }
        };
        pause_unless(pause.min(left), &is_over);
    }
    Ok(None)
}

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

struct Listener {
    place: Place,
    positions: Positions,
    sender: SubscriptionSender,
    /// Waits for room in the subscription.
    waiting: Runtime,
    is_closed: watch::Receiver<bool>,
    /// A look for partitions that is under way.
    look: Option<Receiver<Seen>>,
    next_look: Instant,
    /// Why there was a gap, if nothing came since.
    last_gap: Option<String>,
}

impl Listener {
    fn listen_for_ever(mut self) -> Result<Infallible, Unsubscribed> {
        loop {
            self.check_wanted()?;
            self.look_for_partitions()?;
            // Borrows nothing of the listener but the consumer, which is behind an `Arc`.
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

    fn check_wanted(&self) -> Result<(), Unsubscribed> {
        match self.is_over() {
            true => Err(Unsubscribed),
            false => Ok(()),
        }
    }

    fn is_over(&self) -> bool {
        self.sender.is_closed() || is_over(&self.is_closed)
    }

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
        let limit = self.place.connector.options.common.max_message_bytes;
        if payload.len() > limit {
            let len = payload.len();
            return self.gap(format!(
                "a message of {len} bytes was skipped, which is over the limit of {limit}"
            ));
        }
        self.place.status.received();
        self.last_gap = None;
        let message = Bytes::copy_from_slice(payload);
        match self.sender.try_message(message.clone())? {
            true => Ok(()),
            false => self.wait_for_room(message),
        }
    }

    /// Reads nothing more until the subscriber has caught up; librdkafka then stops fetching.
    fn wait_for_room(&mut self, message: Bytes) -> Result<(), Unsubscribed> {
        let (sender, is_closed) = (&self.sender, &mut self.is_closed);
        self.waiting.block_on(async {
            tokio::select! {
                handed_over = sender.message(message) => handed_over,
                // Also when the manager is dropped.
                _ = is_closed.wait_for(|is_closed| *is_closed) => Err(Unsubscribed),
            }
        })
    }

    fn gap(&mut self, reason: String) -> Result<(), Unsubscribed> {
        if self.last_gap.as_ref() == Some(&reason) {
            return Ok(());
        }
        self.place.status.common.gap(&reason);
        self.last_gap = Some(reason.clone());
        self.sender.gap(reason)
    }

    fn failed(&mut self, error: KafkaError) -> Result<(), Unsubscribed> {
        // The client has reported it in better words already.
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

    /// Waits until what was refused is allowed, unhealthy and not in silence, and goes on where it was.
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

    /// Goes on reading where that is possible, and admits the loss: for a reason that is known, or where the place in the topic is another
    /// than before.
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

    /// Has another thread look for new partitions from time to time, so that no message waits for it.
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

    /// Reads partitions that are new, too.
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

    fn start_to_look(&mut self) {
        let now = Instant::now();
        if !self.place.status.common.is_up(Role::Listening) {
            // Health is to know soon that the brokers are back.
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
