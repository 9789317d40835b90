//! Records under way: from the reading to the acknowledgement.
//!
//! One task runs it, so that records are started in the order in which they were read. A failure of the broker stops
//! new starts; once nothing is under way any more, what failed is started again, in its order and before anything else.

mod cause;
mod lanes;
mod reader;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use manager_api::source::{Place, Position, Reading, Record, Source};
use manager_api::{Backoff, Emitter, Error, deadline};
use tokio::time::Instant;

use crate::mapping::{Map, Mapped};
use crate::relay::{RelayError, RelayOptions};
use crate::status::RelayStatus;
pub(crate) use cause::Cause;
use cause::is_about_the_record;
use lanes::Lanes;
use reader::Reader;

/// The most acknowledgements of one call of the source.
const MAX_ACKS: usize = 1_024;

/// A record under way, and why it is to become a dead letter, if so.
struct Work {
    record: Record,
    cause: Option<Cause>,
}

/// What became of a record that was started.
enum Outcome {
    Emitted(Result<(), Error>),
    Buried(Result<(), Error>),
}

type Landing = BoxFuture<'static, (u64, Outcome)>;
type Acking = BoxFuture<'static, (Vec<Position>, Result<(), Error>)>;

/// The records under way.
pub(crate) struct Flow {
    source: Arc<dyn Source>,
    map: Arc<dyn Map>,
    emitter: Emitter,
    options: RelayOptions,
    status: RelayStatus,
    /// Read and not started.
    waiting: VecDeque<Record>,
    next_number: u64,
    /// Started, and neither accepted nor stored as a dead letter.
    works: BTreeMap<u64, Work>,
    work_bytes: usize,
    landing: FuturesUnordered<Landing>,
    /// Those of `works` that failed.
    failed: BTreeSet<u64>,
    lanes: Lanes,
    ready: Vec<Position>,
    acking: Option<Acking>,
    backoff: Backoff,
    ack_backoff: Backoff,
    /// When what failed is started again.
    retry_at: Option<Instant>,
    /// When acknowledging is tried again.
    ack_at: Option<Instant>,
    has_emitted: bool,
    is_reading: bool,
    /// Why reading has ended, if not with the source. What was read before is finished all the same.
    source_failure: Option<Error>,
    /// Since when the flow is to end; by then it does.
    end_by: Option<Instant>,
    verdict: Option<RelayError>,
}

impl Flow {
    /// Creates a flow in which nothing is under way.
    pub(crate) fn new(
        source: Arc<dyn Source>,
        map: Arc<dyn Map>,
        emitter: Emitter,
        options: RelayOptions,
        status: RelayStatus,
    ) -> Self {
        let backoff = || Backoff::new(options.backoff_base, options.backoff_cap);
        Self {
            backoff: backoff(),
            ack_backoff: backoff(),
            source,
            map,
            emitter,
            options,
            status,
            waiting: VecDeque::new(),
            next_number: 0,
            works: BTreeMap::new(),
            work_bytes: 0,
            landing: FuturesUnordered::new(),
            failed: BTreeSet::new(),
            lanes: Lanes::default(),
            ready: Vec::new(),
            acking: None,
            retry_at: None,
            ack_at: None,
            has_emitted: false,
            is_reading: true,
            source_failure: None,
            end_by: None,
            verdict: None,
        }
    }

    /// Runs to the end of the source, or until `stop` completes and what is under way has landed.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), RelayError> {
        let backoff = (self.options.backoff_base, self.options.backoff_cap);
        let mut reader = Reader::start(self.source.clone(), self.status.clone(), backoff);
        let mut stop = std::pin::pin!(stop);
        loop {
            self.launch();
            self.acknowledge();
            self.status.in_flight(self.num_in_flight());
            if self.is_finished() {
                let failure = self.source_failure.map(RelayError::Source);
                return self.verdict.or(failure).map_or(Ok(()), Err);
            }
            if self.end_by.is_some() && self.is_reading {
                self.is_reading = false;
                self.keep_what_is_lost_otherwise(reader.stop().await);
                continue;
            }
            let wants_more = self.is_reading && self.waiting.is_empty() && self.has_room();
            tokio::select! {
                Some((number, outcome)) = self.landing.next(), if !self.landing.is_empty() => self.land(number, outcome),
                (positions, result) = landed(&mut self.acking) => self.acknowledged(positions, result),
                reading = reader.next(), if wants_more => self.take(reading),
                () = until(self.retry_at), if self.retry_at.is_some() => self.retry(),
                () = until(self.ack_at), if self.ack_at.is_some() => self.ack_at = None,
                () = until(self.end_by), if self.end_by.is_some() => return Err(self.unfinished()),
                () = &mut stop, if self.end_by.is_none() => self.end(),
            }
        }
    }

    /// Begins to end.
    fn end(&mut self) {
        self.status.stopping();
        self.end_by = Some(deadline::after(self.options.drain));
        // A source that keeps records hands these out again.
        self.waiting.retain(is_lost_otherwise);
    }

    /// Keeps records that were read when the flow was to end, if their source does not hand them out again.
    fn keep_what_is_lost_otherwise(&mut self, readings: Vec<Reading>) {
        for reading in readings {
            if let Reading::Records(records) = reading {
                self.received(records);
            }
        }
        self.waiting.retain(is_lost_otherwise);
    }

    /// Returns the verdict of a flow whose time is over.
    fn unfinished(mut self) -> RelayError {
        let num_records = self.num_in_flight() + self.waiting.len();
        self.verdict.take().unwrap_or(RelayError::Unfinished { num_records })
    }

    /// Takes a reading.
    fn take(&mut self, reading: Option<Result<Reading, Error>>) {
        match reading {
            Some(Ok(Reading::Records(records))) => self.received(records),
            Some(Ok(Reading::Gap { num_records, reason })) => self.status.gap(num_records, &reason),
            Some(Err(error)) => (self.is_reading, self.source_failure) = (false, Some(error)),
            Some(Ok(_)) | None => self.is_reading = false,
        }
    }

    /// Counts records, and lets them wait for their start.
    fn received(&mut self, records: Vec<Record>) {
        let redelivered = records.iter().filter(|record| record.is_redelivered).count();
        self.status.read(records.len(), redelivered);
        self.waiting.extend(records);
    }

    /// Starts what may start now, in the order of the reading.
    fn launch(&mut self) {
        while self.failed.is_empty() && self.verdict.is_none() && self.has_room() {
            let Some(record) = self.waiting.pop_front() else {
                return;
            };
            let number = self.next_number;
            self.next_number += 1;
            self.lanes.add(number, &record.position);
            self.work_bytes += record.size();
            self.works.insert(number, Work { record, cause: None });
            self.start(number);
        }
    }

    /// Starts a record for the first time or again.
    fn start(&mut self, number: u64) {
        let Some(work) = self.works.get(&number) else {
            return;
        };
        let cause = match &work.cause {
            Some(cause) => cause.clone(),
            None => match self.map.map(&work.record) {
                Ok(mapped) => {
                    let record = work.record.clone();
                    return self.emit(number, &record, &mapped);
                }
                Err(why) => Cause::Unmapped(why),
            },
        };
        self.bury(number, cause);
    }

    /// Starts to emit the event of a record.
    fn emit(&mut self, number: u64, record: &Record, mapped: &Mapped) {
        let broadcast = mapped.broadcast(record, &self.emitter);
        let emitting = broadcast.emit_payload(mapped.event.as_str(), mapped.payload.clone());
        self.landing
            .push(Box::pin(async move { (number, Outcome::Emitted(emitting.await)) }));
    }

    /// Makes a record a dead letter; with `strict` ends instead.
    fn bury(&mut self, number: u64, cause: Cause) {
        let Some(work) = self.works.get_mut(&number) else {
            return;
        };
        if self.options.strict {
            let position = work.record.position.clone();
            let reason = cause.to_string();
            return self.give_up(RelayError::Strict { position, reason });
        }
        let reason = cause.to_string();
        work.cause = Some(cause);
        let (source, record) = (self.source.clone(), work.record.clone());
        self.landing.push(Box::pin(async move {
            let buried = source.dead_letter(&record, &reason).await;
            (number, Outcome::Buried(buried))
        }));
    }

    /// Takes what became of a record that was started, and plans the next attempt once all have landed.
    fn land(&mut self, number: u64, outcome: Outcome) {
        match outcome {
            Outcome::Emitted(Ok(())) => {
                self.has_emitted = true;
                self.status.emitted(self.failed.is_empty());
                self.done(number);
            }
            Outcome::Emitted(Err(error)) if is_about_the_record(&error) => {
                self.bury(number, Cause::Refused(Arc::new(error)));
            }
            Outcome::Emitted(Err(error)) if error.is_refusal() && !self.has_emitted => {
                self.give_up(RelayError::Broker(error));
            }
            Outcome::Emitted(Err(error)) => {
                self.status.emit_failed(&error);
                self.failed.insert(number);
            }
            Outcome::Buried(Ok(())) => {
                self.status.source_worked();
                self.done(number);
            }
            Outcome::Buried(Err(error)) => {
                self.status.source_failed("store a dead letter at", &error);
                self.failed.insert(number);
            }
        }
        if self.landing.is_empty() && !self.failed.is_empty() && self.retry_at.is_none() {
            self.retry_at = Some(deadline::after(self.backoff.next_delay()));
        }
    }

    /// Starts what failed again, in its order.
    fn retry(&mut self) {
        self.retry_at = None;
        for number in std::mem::take(&mut self.failed) {
            self.start(number);
        }
    }

    /// Finishes a record that the broker has accepted, or that was stored as a dead letter.
    fn done(&mut self, number: u64) {
        self.backoff.reset();
        let Some(Work { record, cause }) = self.works.remove(&number) else {
            return;
        };
        self.work_bytes -= record.size();
        if let Some(cause) = cause {
            self.status.dead(&cause, &record.position);
        }
        self.lanes.done(number, &record.position, &mut self.ready);
    }

    /// Acknowledges what is ready, one call at a time.
    fn acknowledge(&mut self) {
        if self.acking.is_some() || self.ack_at.is_some() || self.ready.is_empty() {
            return;
        }
        let count = self.ready.len().min(MAX_ACKS);
        let positions: Vec<_> = self.ready.drain(..count).collect();
        let source = self.source.clone();
        self.acking = Some(Box::pin(async move {
            let result = source.acknowledge(&positions).await;
            (positions, result)
        }));
    }

    /// Takes the outcome of an acknowledgement; one that failed is repeated before later ones.
    fn acknowledged(&mut self, positions: Vec<Position>, result: Result<(), Error>) {
        self.acking = None;
        match result {
            Ok(()) => {
                self.ack_backoff.reset();
                self.status.acknowledged(positions.len());
                self.status.source_worked();
            }
            Err(error) => {
                self.status.source_failed("acknowledge to", &error);
                self.ready.splice(..0, positions);
                self.ack_at = Some(deadline::after(self.ack_backoff.next_delay()));
            }
        }
    }

    /// Ends early, for the first of several reasons.
    fn give_up(&mut self, error: RelayError) {
        self.verdict.get_or_insert(error);
        self.waiting.clear();
        if self.end_by.is_none() {
            self.end_by = Some(deadline::after(self.options.drain));
        }
    }

    /// A single record always has room, however large.
    fn has_room(&self) -> bool {
        self.num_in_flight() < self.options.max_in_flight.max(1)
            && self.work_bytes < self.options.max_in_flight_bytes.max(1)
    }

    /// Returns how many records were started and are not acknowledged.
    fn num_in_flight(&self) -> usize {
        self.lanes.len() + self.ready.len()
    }

    /// Returns whether all has landed that will. What was given up because of another record is not started again.
    fn is_finished(&self) -> bool {
        let is_idle = self.landing.is_empty() && self.acking.is_none() && self.ready.is_empty();
        let has_more = self.is_reading || !self.waiting.is_empty() || !self.failed.is_empty();
        is_idle && (self.verdict.is_some() || !has_more)
    }
}

/// Returns whether the source does not hand a record out again that was not acknowledged.
fn is_lost_otherwise(record: &Record) -> bool {
    matches!(record.position.place, Place::Line(_))
}

/// Waits for the acknowledgement under way, for ever if there is none.
async fn landed(acking: &mut Option<Acking>) -> (Vec<Position>, Result<(), Error>) {
    match acking {
        Some(acking) => acking.await,
        None => std::future::pending().await,
    }
}

/// Waits until a moment, for ever if there is none.
async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
