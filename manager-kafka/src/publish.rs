//! Publishing: who waits in which order, for how long, and what they are told.

mod flight;
mod producer;
mod start;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use manager_api::backend::{closed, may_be_published, not_flushed};
use manager_api::byte_budget::ByteBudget;
use manager_api::subscription::MIN_COST;
use manager_api::{Error, ErrorKind, deadline};
use tokio::sync::oneshot;
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout, timeout_at};

use crate::connect::Connector;
use crate::context::Trouble;
use crate::error::{Failure, not_delivered};
use crate::status::{Role, Status};
use flight::Flight;
pub(crate) use producer::Producer;
use producer::{Job, Ticket, overdue};

/// How much later than the deadline librdkafka may report that a message expired.
const REPORT_SLACK: Duration = Duration::from_secs(1);
/// How long an abandoned producer may take to give its messages back.
const PURGE_PATIENCE: Duration = Duration::from_secs(1);

/// Publishes through one client of librdkafka, which the first publish makes.
#[derive(Debug)]
pub(crate) struct Publisher {
    core: Arc<Core>,
}

/// What callers, the starting thread and `close` share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) connector: Arc<Connector>,
    pub(crate) status: Arc<Status>,
    pub(crate) trouble: Arc<Trouble>,
    flight: Arc<Flight>,
    /// Passed on in the order of first polls; whoever has it may hand over.
    turn: tokio::sync::Mutex<()>,
    /// Bytes that may be in flight.
    budget: ByteBudget,
    phase: Mutex<Phase>,
}

#[derive(Debug)]
enum Phase {
    /// Nothing to do; there may be a producer already.
    Idle(Option<Arc<Producer>>),
    /// A thread looks for the brokers and the topic.
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
            flight: Arc::default(),
            turn: tokio::sync::Mutex::new(()),
            budget,
            phase: Mutex::new(Phase::Idle(None)),
        };
        Self { core: Arc::new(core) }
    }

    pub(crate) async fn publish(&self, message: Bytes) -> Result<(), Error> {
        let core = &self.core;
        let since = Instant::now();
        let aboard = Flight::board(&core.flight).ok_or_else(closed)?;
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
                _aboard: aboard,
            })
        };
        if let Ok(_turn) = core.turn.try_lock()
            && let Some(permit) = core.budget.try_take(cost)
        {
            let ticket = ticket(permit);
            let may_be_late = core.hand_over(Job { message, since, ticket });
            if !may_be_late {
                // librdkafka watches the time.
                return answer.await.unwrap_or_else(|_| Err(closed()));
            }
        } else {
            let entered = timeout_at(limit, async {
                // Not subject to the task's budget: the first poll decides the order.
                let _turn = unconstrained(core.turn.lock()).await;
                let permit = unconstrained(core.budget.take(cost)).await;
                let ticket = ticket(permit.expect("the budget is never closed"));
                core.hand_over(Job { message, since, ticket });
            });
            if entered.await.is_err() {
                core.status.common.publish_failed();
                return Err(core.overdue());
            }
        }
        let overdue = match timeout_at(limit + REPORT_SLACK, &mut answer).await {
            Ok(answer) => return answer.unwrap_or_else(|_| Err(closed())),
            Err(_) => core.overdue(),
        };
        // It was handed over so late that librdkafka would keep it, and send it after its caller was told that it is given up.
        core.recall();
        match timeout(PURGE_PATIENCE, answer).await {
            // Accepted at the last moment, or taken back, perhaps too late.
            Ok(Ok(answer)) => answer,
            _ => Err(may_be_published(overdue)),
        }
    }

    /// Refuses new publishes and waits until all others are answered, up to the deadline.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let core = &self.core;
        let num_failures = core.status.common.num_publish_failures();
        let limit = core.connector.deadline();
        core.flight.close();
        let mut closing = Closing { core, is_over: false };
        let settled = timeout(limit, core.flight.until_empty()).await;
        if settled.is_err() {
            core.abandon();
            // Whoever still waits is answered by then; if not, by the release of the producer.
            let _ = timeout(PURGE_PATIENCE, core.flight.until_empty()).await;
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
        self.core.flight.close();
        self.core.release_once_settled();
    }
}

/// A `close` under way; one that is given up goes on in the background.
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
    /// Sends `job`, or queues it for the start; tells whether it was queued. Only for whoever has the turn.
    fn hand_over(self: &Arc<Self>, job: Job) -> bool {
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

    /// Tells whether what is handed to librdkafka goes out soon. While it does not, messages wait here, where each has its own deadline:
    /// librdkafka gives all of them the same time from when they are handed over, however long they have waited before.
    fn is_flowing(&self) -> bool {
        self.trouble.get() == 0 && self.status.common.is_up(Role::Publishing)
    }

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

    /// Sends what waited for the start, and whatever comes from now on; false if the client has to be replaced first.
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
        // Nobody else hands over until this is done.
        backlog.into_iter().for_each(|job| self.send(&producer, job));
        *phase = Phase::Ready(producer);
        true
    }

    /// Ends the start if nobody waits for it any more.
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

    /// Fails the jobs that have waited for the start long enough; returns how long the next one may still wait.
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

    /// Gives every message back that was not accepted yet.
    fn abandon(&self) {
        self.fail_backlog(|| self.overdue());
        if let Phase::Ready(producer) = &*self.phase() {
            producer.purge();
        }
    }

    /// Takes back what librdkafka has and did not deliver, that of others included: the client is replaced, and its release purges it.
    fn recall(&self) {
        // Under the lock: a start that comes between would forget the trouble, and go on with this client.
        let mut phase = self.phase();
        self.trouble.client_is_lost();
        self.status.down(Role::Publishing);
        if !matches!(*phase, Phase::Starting(_)) {
            *phase = Phase::Idle(None);
        }
    }

    /// Tells whether the client has to be replaced, once.
    pub(crate) fn has_lost_client(&self) -> bool {
        self.trouble.take_lost_client()
    }

    /// Has a thread release the client as soon as every publish was answered, after the deadline in any case.
    fn release_once_settled(self: &Arc<Self>) {
        if self.flight.is_empty() {
            return self.release();
        }
        let core = self.clone();
        let flush = std::thread::Builder::new().name("sio-kafka-flush".to_owned());
        // If there is no thread to be had, the messages are given back instead of sent.
        let _ = flush.spawn(move || {
            let limit = deadline::after(core.connector.deadline()) + REPORT_SLACK;
            while !core.flight.is_empty() && Instant::now() < limit {
                std::thread::sleep(Duration::from_millis(10));
            }
            core.abandon();
            core.release();
        });
    }

    fn release(&self) {
        *self.phase() = Phase::Idle(None);
        self.status.down(Role::Publishing);
    }

    fn fail(&self, ticket: Ticket, error: Error) {
        self.status.common.publish_failed();
        ticket.answer(Err(error));
    }

    /// What a caller is told whose deadline passed.
    pub(crate) fn overdue(&self) -> Error {
        overdue(&self.connector, &self.status)
    }

    /// Tells whether every publish was answered.
    pub(crate) fn is_settled(&self) -> bool {
        self.flight.is_empty()
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
