//! Publishing: the order, capacity and deadlines of callers.
//!
//! It does not use the [`PublishQueue`](manager_api::backend::PublishQueue) of the other managers. That queue is
//! drained by a task on the runtime of the first publish, which must keep running. Here librdkafka is the queue,
//! with a thread of its own: the caller's thread passes a message to it, and its thread completes the call, so
//! that neither a stalled runtime nor a switch of tasks is in between. [`ByteBudget`] bounds the bytes in flight.

mod flight;
mod producer;
mod start;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use manager_api::backend::{closed, may_be_published, not_flushed};
use manager_api::byte_budget::ByteBudget;
use manager_api::lock::Unpoisoned;
use manager_api::subscription::MIN_COST;
use manager_api::{Error, ErrorKind, deadline};
use tokio::sync::oneshot;
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout, timeout_at};

use crate::connect::Connector;
use crate::context::Trouble;
use crate::error::{Failure, not_delivered};
use crate::status::{Role, Status};
use flight::Flights;
pub(crate) use producer::Producer;
use producer::{Job, Ticket, overdue};

/// The delay after the deadline within which librdkafka reports that a message expired.
const REPORT_SLACK: Duration = Duration::from_secs(1);
/// The limit for a purged producer to return its messages.
const PURGE_PATIENCE: Duration = Duration::from_secs(1);

/// The callers' side of publishing, through one client of librdkafka that the first publish creates.
#[derive(Debug)]
pub(crate) struct Publisher {
    core: Arc<Core>,
}

/// The state shared by callers, the starting thread and `close`.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) connector: Arc<Connector>,
    pub(crate) status: Arc<Status>,
    pub(crate) trouble: Arc<Trouble>,
    flights: Arc<Flights>,
    /// Acquired in the order of first polls; its holder may pass on a message.
    turn: tokio::sync::Mutex<()>,
    /// The bytes in flight.
    budget: ByteBudget,
    phase: Mutex<Phase>,
}

#[derive(Debug)]
enum Phase {
    /// No publish is in progress; there may be a producer already.
    Idle(Option<Arc<Producer>>),
    /// A thread connects to the brokers and looks up the topic.
    Starting(VecDeque<Job>),
    Ready(Arc<Producer>),
}

impl Publisher {
    pub(crate) fn new(connector: Arc<Connector>, status: Arc<Status>) -> Self {
        let budget = ByteBudget::new(connector.in_flight_bytes());
        let core = Core {
            connector,
            status,
            trouble: Arc::default(),
            flights: Arc::default(),
            turn: tokio::sync::Mutex::new(()),
            budget,
            phase: Mutex::new(Phase::Idle(None)),
        };
        Self { core: Arc::new(core) }
    }

    /// Publishes a message, and completes when librdkafka has reported its outcome: after its deadline it is recalled.
    pub(crate) async fn publish(&self, message: Bytes) -> Result<(), Error> {
        let core = &self.core;
        let since = Instant::now();
        let guard = Flights::begin(&core.flights).ok_or_else(closed)?;
        let limit = deadline::from(since, core.connector.deadline());
        let cost = message.len().max(MIN_COST);
        let len = message.len();
        let (reply, mut answer) = oneshot::channel();
        let ticket = |permit| {
            Box::new(Ticket {
                reply,
                len,
                connector: core.connector.clone(),
                _permit: permit,
                _flight: guard,
            })
        };
        if let Ok(_turn) = core.turn.try_lock()
            && let Some(permit) = core.budget.try_take(cost)
        {
            let ticket = ticket(permit);
            let may_be_late = core.pass_on(Job { message, since, ticket });
            if !may_be_late {
                // librdkafka observes the deadline.
                return answer.await.unwrap_or_else(|_| Err(closed().possibly_published()));
            }
        } else {
            let entered = timeout_at(limit, async {
                // Not subject to the task's budget: the first poll decides the order.
                let _turn = unconstrained(core.turn.lock()).await;
                let permit = unconstrained(core.budget.take(cost)).await;
                let ticket = ticket(permit.expect("the budget is never closed"));
                core.pass_on(Job { message, since, ticket });
            });
            if entered.await.is_err() {
                core.status.common.publish_failed();
                return Err(core.overdue());
            }
        }
        let overdue = match timeout_at(limit + REPORT_SLACK, &mut answer).await {
            Ok(answer) => return answer.unwrap_or_else(|_| Err(closed().possibly_published())),
            Err(_) => core.overdue(),
        };
        // It was passed on so late that librdkafka would keep it, and send it after its caller's error.
        core.recall();
        match timeout(PURGE_PATIENCE, answer).await {
            // Accepted at the last moment, or purged, perhaps too late.
            Ok(Ok(answer)) => answer,
            _ => Err(may_be_published(overdue)),
        }
    }

    /// Refuses new publishes and waits until all others are complete, up to the deadline.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let core = &self.core;
        let num_failures = core.status.common.num_publish_failures();
        let limit = core.connector.deadline();
        core.flights.close();
        let mut closing = Closing { core, is_over: false };
        let settled = timeout(limit, core.flights.until_empty()).await;
        if settled.is_err() {
            core.abandon();
            // The remaining callers are notified by then, or else by the release of the producer.
            let _ = timeout(PURGE_PATIENCE, core.flights.until_empty()).await;
        }
        closing.is_over = true;
        core.release();
        let num_lost = core.status.common.num_publish_failures() - num_failures;
        if settled.is_ok() && num_lost == 0 {
            return Ok(());
        }
        let place = format!("Kafka at {}", core.connector.label());
        Err(not_flushed(num_lost, &place, limit))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.core.flights.close();
        self.core.release_once_settled();
    }
}

/// Guard of a `close` in progress, which continues in the background if its future is dropped.
struct Closing<'a> {
    core: &'a Arc<Core>,
    is_over: bool,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.core.release_once_settled();
        }
    }
}

impl Core {
    /// Sends `job`, or queues it for the start; returns whether it was queued. Only the holder of the turn may call it.
    fn pass_on(self: &Arc<Self>, job: Job) -> bool {
        let mut phase = self.phase();
        let producer = match &mut *phase {
            Phase::Starting(backlog) => {
                backlog.push_back(job);
                return true;
            }
            Phase::Ready(producer) if self.is_flowing() => producer.clone(),
            Phase::Ready(producer) | Phase::Idle(Some(producer)) => {
                let is_usable = self.trouble.get() != Trouble::CLIENT;
                let producer = is_usable.then(|| producer.clone());
                self.start(&mut phase, producer, job);
                return true;
            }
            Phase::Idle(None) => {
                self.start(&mut phase, None, job);
                return true;
            }
        };
        drop(phase);
        self.send(&producer, job);
        false
    }

    /// Starts a thread that connects, with the first job that waits for it.
    fn start(self: &Arc<Self>, phase: &mut Phase, producer: Option<Arc<Producer>>, job: Job) {
        self.trouble.clear();
        let started = start::spawn(self.clone(), producer);
        match started {
            Ok(()) => *phase = Phase::Starting(VecDeque::from([job])),
            Err(error) => {
                let text = format!("there is no thread for Kafka: {error}");
                self.fail(*job.ticket, Error::new(ErrorKind::Publish, text).with_source(error));
                *phase = Phase::Idle(None);
            }
        }
    }

    /// Returns whether librdkafka can send. While it cannot, messages wait here, each until its own deadline:
    /// librdkafka gives all of them the same time from when it receives them, regardless of earlier waiting.
    fn is_flowing(&self) -> bool {
        self.trouble.get() == 0 && self.status.common.is_up(Role::Publishing)
    }

    /// Passes a job to librdkafka, which reports its outcome to the context.
    fn send(&self, producer: &Producer, job: Job) {
        if let Err((error, ticket)) = producer.send(&self.connector, job) {
            self.trouble.note(error.rdkafka_error_code());
            let (label, deadline) = (self.connector.label(), self.connector.deadline());
            let lost = producer.lost_for(&self.connector);
            let lost = lost
                .filter(Failure::is_refused)
                .map(|failure| failure.unreachable(label, deadline));
            let error = lost
                .unwrap_or_else(|| not_delivered(self.connector.label(), self.connector.topic(), ticket.len, error));
            self.fail(*ticket, error);
        }
    }

    /// Sends the jobs that waited for the start; from now on jobs are sent directly. False if the client must be
    /// replaced first.
    pub(crate) fn become_ready(&self, producer: Arc<Producer>) -> bool {
        let mut phase = self.phase();
        if self.trouble.get() == Trouble::CLIENT {
            return false;
        }
        let Phase::Starting(backlog) = &mut *phase else {
            return true;
        };
        let backlog = std::mem::take(backlog);
        self.status.up(Role::Publishing);
        // No other job is passed on before these.
        backlog.into_iter().for_each(|job| self.send(&producer, job));
        *phase = Phase::Ready(producer);
        true
    }

    /// Ends the start if no job waits for it.
    pub(crate) fn give_up(&self, producer: &Option<Arc<Producer>>) -> bool {
        let mut phase = self.phase();
        match &*phase {
            Phase::Starting(backlog) if !backlog.is_empty() => return false,
            Phase::Starting(_) => *phase = Phase::Idle(producer.clone()),
            // Released in the meantime.
            _ => {}
        }
        true
    }

    /// Fails the jobs whose deadline passed during the start; returns the time left for the next one.
    pub(crate) fn expire(&self) -> Option<Duration> {
        loop {
            let mut phase = self.phase();
            let Phase::Starting(backlog) = &mut *phase else {
                return None;
            };
            let until = deadline::from(backlog.front()?.since, self.connector.deadline());
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Some(left);
            }
            let overdue = backlog.pop_front();
            drop(phase);
            overdue
                .into_iter()
                .for_each(|job| self.fail(*job.ticket, self.overdue()));
        }
    }

    /// Fails every job that waits for the start.
    pub(crate) fn fail_backlog(&self, error: impl Fn() -> Error) {
        let backlog = match &mut *self.phase() {
            Phase::Starting(backlog) => std::mem::take(backlog),
            _ => return,
        };
        backlog.into_iter().for_each(|job| self.fail(*job.ticket, error()));
    }

    /// Fails every job that was not accepted yet.
    fn abandon(&self) {
        self.fail_backlog(|| self.overdue());
        if let Phase::Ready(producer) = &*self.phase() {
            producer.purge();
        }
    }

    /// Purges the undelivered messages of librdkafka, those of other callers included: the client is replaced, and
    /// its release purges it.
    fn recall(&self) {
        // Under the lock: a concurrent start would clear the trouble, and continue with this client.
        let mut phase = self.phase();
        self.trouble.client_is_lost();
        self.status.down(Role::Publishing);
        if !matches!(*phase, Phase::Starting(_)) {
            *phase = Phase::Idle(None);
        }
    }

    /// Returns whether the client must be replaced; true once.
    pub(crate) fn has_lost_client(&self) -> bool {
        self.trouble.take_lost_client()
    }

    /// Starts a thread that releases the client once every publish is complete, at the latest after the deadline.
    fn release_once_settled(self: &Arc<Self>) {
        if self.flights.is_empty() {
            return self.release();
        }
        let core = self.clone();
        let flush = std::thread::Builder::new().name("sio-kafka-flush".to_owned());
        // Without a thread the messages fail instead of being sent.
        let _ = flush.spawn(move || {
            let limit = deadline::after(core.connector.deadline()) + REPORT_SLACK;
            while !core.flights.is_empty() && Instant::now() < limit {
                std::thread::sleep(Duration::from_millis(10));
            }
            core.abandon();
            core.release();
        });
    }

    /// Releases the client.
    fn release(&self) {
        *self.phase() = Phase::Idle(None);
        self.status.down(Role::Publishing);
    }

    /// Counts a publish that failed, and completes it.
    fn fail(&self, ticket: Ticket, error: Error) {
        self.status.common.publish_failed();
        ticket.answer(Err(error));
    }

    /// Returns the error of a call whose deadline passed.
    pub(crate) fn overdue(&self) -> Error {
        overdue(&self.connector, &self.status)
    }

    /// Returns whether every publish is complete.
    pub(crate) fn is_settled(&self) -> bool {
        self.flights.is_empty()
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unpoisoned()
    }
}
