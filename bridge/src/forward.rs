//! The forwarding task of a pair of sides: publishes in order what waits, while this bridge is the one that forwards.
//!
//! A publish ends in one of four ways: confirmed; certainly not sent, which starts over from that message, in order;
//! perhaps sent, which is given up, because a second copy could arrive; refused, which is given up as well.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::message::{Envelope, Mark, Message};
use manager_api::{Error, ErrorKind, HostId};
use tokio::task::unconstrained;
use tokio::time::Instant;

use crate::asked::Share;
use crate::counters::{PairCounters, count};
use crate::item::Item;
use crate::relay::Relay;
use crate::shared::{Pair, Shared};
use crate::side::SideState;
use crate::{carry, fingerprint};

/// The wait before the next attempt while the destination cannot be reached.
const RETRY: Duration = Duration::from_millis(200);

type Publish = BoxFuture<'static, Result<(), Error>>;

/// One direction between two sides.
struct Forwarder {
    shared: Arc<Shared>,
    at: usize,
    in_flight: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Messages that were not sent. Nothing more is taken until all others under way are complete.
    unsent: Vec<(u64, Option<HostId>)>,
    /// The last message of each sender that was published since one was not sent.
    overtaken: HashMap<Option<HostId>, u64>,
    retry_at: Option<Instant>,
    /// Publishes under way: a change of many rooms takes several.
    num_publishes: usize,
}

/// A publish that is complete.
struct Done {
    /// The publishes that it took.
    count: usize,
    number: u64,
    item: Arc<Item>,
    arrived: Instant,
    relay: Option<Relay>,
    result: Result<(), Error>,
}

/// Forwards from one side to another; never completes.
pub(crate) async fn forward(shared: Arc<Shared>, at: usize) {
    let mut role = shared.role.subscribe();
    let mut forwarder = Forwarder {
        shared: shared.clone(),
        at,
        in_flight: FuturesUnordered::new(),
        unsent: Vec::new(),
        overtaken: HashMap::new(),
        retry_at: None,
        num_publishes: 0,
    };
    let pair = &shared.pairs[at];
    loop {
        forwarder.fill().await;
        let retry_at = forwarder.retry_at;
        tokio::select! {
            Some(done) = forwarder.in_flight.next() => forwarder.settle(done),
            () = pair.has_more.notified() => {}
            // The sender lives in `shared`.
            _ = role.changed() => {}
            () = until(retry_at) => forwarder.retry_at = None,
        }
    }
}

/// Begins to publish a message, or one that accompanies it, which gives it its place among the others.
async fn started(side: &SideState, message: Message, mark: Mark, place: usize) -> Publish {
    let envelope = Envelope {
        host_id: Some(side.host_id.clone()),
        message,
        mark: Some(match place {
            0 => mark,
            _ => fingerprint::beside(mark, place),
        }),
    };
    let mut publish = side.messenger.encode(envelope).publish;
    let first = unconstrained(poll_fn(|cx| Poll::Ready(publish.poll_unpin(cx)))).await;
    match first {
        Poll::Ready(result) => std::future::ready(result).boxed(),
        Poll::Pending => publish,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Forwarder {
    fn pair(&self) -> &Pair {
        &self.shared.pairs[self.at]
    }

    /// Begins to publish what waits, as far as it may be under way.
    async fn fill(&mut self) {
        // One at a time shows whether the destination is there: of several that wait for a connection, the first could
        // reach their deadline, and the others be sent after all.
        // And a bridge that takes over from one whose publishes were not confirmed gives up one, not all.
        let counters = &self.pair().counters;
        let is_doubtful = counters.is_stalled.load(Ordering::Relaxed) || !counters.is_proven.load(Ordering::Relaxed);
        let max = match is_doubtful || !self.is_linked() {
            true => 1,
            false => self.shared.options.max_in_flight.max(1),
        };
        let held_until = *self.shared.sides[self.pair().from].held_until.lock().unpoisoned();
        if let Some(held_until) = held_until.filter(|until| Instant::now() < *until) {
            self.retry_at = Some(held_until);
            return;
        }
        while self.has_capacity(max) {
            let taken = self.pair().pending.lock().unpoisoned().take();
            let Some((number, item, arrived)) = taken else {
                return;
            };
            self.begin(number, item, arrived).await;
        }
    }

    /// Returns whether the manager of the destination has a connection to publish over. One that does not tell has one
    /// after the first publish.
    fn is_linked(&self) -> bool {
        let health = self.shared.sides[self.pair().to].manager().health();
        let tells_nothing = health.num_published == 0 && self.pair().counters.forwarded.load(Ordering::Relaxed) > 0;
        health.publishing_since.is_some() || tells_nothing
    }

    fn has_capacity(&self, max: usize) -> bool {
        let is_free = self.unsent.is_empty() && self.retry_at.is_none() && self.num_publishes < max;
        is_free && self.shared.sides[self.pair().to].probes.are_back() && self.shared.may_forward()
    }

    /// Begins to publish a message: its place among the others is that of the first poll.
    async fn begin(&mut self, number: u64, item: Arc<Item>, arrived: Instant) {
        let shared = self.shared.clone();
        let to = self.pair().to;
        let side = &shared.sides[to];
        if let (false, Err(error)) = (side.is_python, carry::check_depth(&item.message)) {
            if let Some(asked) = &item.asked {
                asked.add(Share::default());
            }
            return self.failed(number, &item, &error);
        }
        let mut messages = carry::carried(item.message.clone(), side.is_python);
        let relay = match (&item.asked, messages.first_mut()) {
            (Some(asked), Some(Message::Emit(emit))) => Some(Relay::prepare(&shared, to, asked, emit).await),
            _ => None,
        };
        if self.is_over(number) {
            // Another bridge has forwarded it while the servers were counted.
            return relay.into_iter().for_each(Relay::give_up);
        }
        self.pair().counters.in_flight.fetch_add(1, Ordering::AcqRel);
        // Checked behind the last wait, and after the publish is counted: a change of role waits for it.
        if !shared.may_forward() {
            let result = Err(Error::new(ErrorKind::Busy, "another bridge forwards"));
            return self.settle(Done {
                count: 0,
                number,
                item,
                arrived,
                relay,
                result,
            });
        }
        let count = messages.len();
        let mut finished = Vec::new();
        let (mut results, all) = self.start_all(messages, item.mark, &mut finished).await;
        let done = async move {
            results.extend(join_all(all).await);
            let result = carry::outcome(results);
            Done {
                count,
                number,
                item,
                arrived,
                relay,
                result,
            }
        };
        self.in_flight.push(done.boxed());
        finished.into_iter().for_each(|done| self.settle(done));
    }

    /// Begins to publish a message and those beside it. Of more than may be under way the first ones are completed before;
    /// others that are `finished` meanwhile are to be settled afterwards.
    async fn start_all(
        &mut self,
        messages: Vec<Message>,
        mark: Mark,
        finished: &mut Vec<Done>,
    ) -> (Vec<Result<(), Error>>, Vec<Publish>) {
        let shared = self.shared.clone();
        let side = &shared.sides[self.pair().to];
        let left = shared.options.max_in_flight.saturating_sub(self.num_publishes);
        self.num_publishes += messages.len();
        let (mut results, mut all) = (Vec::new(), Vec::new());
        for (place, message) in messages.into_iter().enumerate() {
            if all.len() >= left.max(1) {
                results.extend(self.complete(&mut all, finished).await);
                if !shared.may_forward() {
                    results.push(Err(Error::new(ErrorKind::Busy, "another bridge forwards")));
                }
            }
            if results.iter().any(Result::is_err) {
                break;
            }
            all.push(started(side, message, mark, place).await);
        }
        (results, all)
    }

    /// Completes some publishes, and polls the others, too: a manager may let these wait for what one of the others holds.
    async fn complete(&mut self, all: &mut Vec<Publish>, finished: &mut Vec<Done>) -> Vec<Result<(), Error>> {
        let mut completed = pin!(join_all(all.drain(..)));
        loop {
            tokio::select! {
                results = &mut completed => return results,
                Some(done) = self.in_flight.next() => finished.push(done),
            }
        }
    }

    /// Handles the outcome of a publish.
    fn settle(&mut self, done: Done) {
        let Done {
            count,
            number,
            item,
            arrived,
            relay,
            result,
        } = done;
        match result {
            Ok(()) => {
                self.succeeded(number, &item, arrived);
                if let Some(relay) = relay {
                    self.shared.spawn(relay.run(self.shared.clone()));
                }
            }
            Err(error) => {
                self.failed(number, &item, &error);
                // One that was not sent is prepared again.
                let relay = relay.filter(|_| self.is_over(number));
                relay.into_iter().for_each(Relay::give_up);
            }
        }
        self.num_publishes -= count;
        if !self.unsent.is_empty() && self.in_flight.is_empty() {
            self.start_over();
        }
        // Last: a bridge that stops forwarding has told by then what was given up here.
        self.pair().counters.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns whether nothing more is to be done about a message.
    fn is_over(&self, number: u64) -> bool {
        !self.pair().pending.lock().unpoisoned().contains(number)
    }

    fn succeeded(&mut self, number: u64, item: &Item, arrived: Instant) {
        let counters = &self.pair().counters;
        count(&counters.forwarded);
        let micros = u64::try_from(arrived.elapsed().as_micros()).unwrap_or(u64::MAX);
        counters.delay_micros.fetch_add(micros, Ordering::Relaxed);
        if counters.is_stalled.swap(false, Ordering::Relaxed) {
            let (from, to) = self.names();
            quietly(|| tracing::warn!(?from, ?to, "a side can be reached again; what waits is forwarded"));
        }
        counters.is_proven.store(true, Ordering::Relaxed);
        self.remove(number);
        if !self.unsent.is_empty() {
            self.overtaken.insert(item.origin.clone(), number);
        }
    }

    fn failed(&mut self, number: u64, item: &Item, error: &Error) {
        let counters = &self.pair().counters;
        match error.kind() {
            // The bridge ends.
            ErrorKind::Closed => {}
            ErrorKind::Busy => self.unsent.push((number, item.origin.clone())),
            _ if error.may_have_been_published() => {
                counters.is_stalled.store(true, Ordering::Relaxed);
                self.lose(number, error, |counters| &counters.lost_unconfirmed);
                self.shared.ail();
            }
            _ if error.is_refusal() => {
                self.lose(number, error, |counters| &counters.lost_refused);
                self.shared.ail();
            }
            ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Publish => {
                counters.is_stalled.store(true, Ordering::Relaxed);
                self.unsent.push((number, item.origin.clone()));
                self.note_stalled(error);
                self.shared.ail();
            }
            _ => {
                count(&counters.skipped_wire);
                self.remove(number);
                self.note_skipped(&item.message, error);
            }
        }
    }

    /// Publishes again from the oldest message that was not sent. One that a later message of its sender has overtaken is
    /// lost instead, because it would arrive out of order.
    fn start_over(&mut self) {
        let overtaken = std::mem::take(&mut self.overtaken);
        for (number, origin) in std::mem::take(&mut self.unsent) {
            if overtaken.get(&origin).is_some_and(|later| *later > number) {
                let error = Error::new(ErrorKind::Timeout, "a later message of the same sender was published");
                self.lose(number, &error, |counters| &counters.lost_order);
            }
        }
        self.pair().pending.lock().unpoisoned().restart();
        self.retry_at = Some(Instant::now() + RETRY);
    }

    fn remove(&self, number: u64) -> bool {
        let pair = self.pair();
        let was_here = pair.pending.lock().unpoisoned().remove(number);
        pair.has_room.notify_waiters();
        was_here
    }

    /// Gives up a message, which is counted and logged, and of which other bridges are told: none of them forwards it.
    fn lose(&self, number: u64, error: &Error, counter: fn(&PairCounters) -> &std::sync::atomic::AtomicU64) {
        static LOST: LimitedLog = LimitedLog::new();
        let mark = self.pair().pending.lock().unpoisoned().mark_of(number);
        let Some(mark) = mark.filter(|_| self.remove(number)) else {
            // Its mark was seen: another bridge has forwarded it.
            return;
        };
        self.shared.untold.lock().unpoisoned().add(self.pair().to, mark);
        count(counter(&self.pair().counters));
        if let Some(suppressed) = LOST.pass() {
            let (from, to) = self.names();
            let error = Escaped(error);
            let text = "a message may not have reached the other side; it is not repeated";
            quietly(|| tracing::error!(suppressed, ?from, ?to, ?error, "{text}"));
        }
    }

    fn note_stalled(&self, error: &Error) {
        static STALLED: LimitedLog = LimitedLog::new();
        if let Some(suppressed) = STALLED.pass() {
            let (from, to) = self.names();
            let error = Escaped(error);
            quietly(|| {
                tracing::warn!(
                    suppressed,
                    ?from,
                    ?to,
                    ?error,
                    "a side cannot be reached; its messages wait"
                )
            });
        }
    }

    fn note_skipped(&self, message: &Message, error: &Error) {
        static SKIPPED: LimitedLog = LimitedLog::new();
        if let Some(suppressed) = SKIPPED.pass() {
            let (from, to) = self.names();
            let (method, error) = (message.method(), Escaped(error));
            let text = "a message is not forwarded, because the other side cannot carry it";
            quietly(|| tracing::warn!(suppressed, ?from, ?to, method, ?error, "{text}"));
        }
    }

    fn names(&self) -> (Escaped<&String>, Escaped<&String>) {
        let pair = self.pair();
        let sides = &self.shared.sides;
        (Escaped(&sides[pair.from].name), Escaped(&sides[pair.to].name))
    }
}
