//! The queue of publishes: who waits in which order, for how long, and what they are told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use manager_api::{Error, ErrorKind, HostId, MIN_COST};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinHandle, unconstrained};
use tokio::time::{Instant, timeout_at};

use crate::config::AmqpOptions;
use crate::connect::Connector;
use crate::drive;
use crate::error::{Failure, blocked, closed, seconds, timed_out};
use crate::status::Status;

/// Queues publishes for a task of its own, which the first publish starts.
#[derive(Debug)]
pub(crate) struct Publisher {
    queue: Arc<Queue>,
}

/// What callers and the publishing task share.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) options: AmqpOptions,
    pub(crate) connector: Arc<Connector>,
    pub(crate) status: Arc<Status>,
    pub(crate) host_id: HostId,
    /// The publishing task; woken by whoever changes `state`.
    pub(crate) task: AtomicWaker,
    /// Passed on in the order of first polls.
    turn: tokio::sync::Mutex<()>,
    /// Bytes that may still be handed over.
    room: Arc<Semaphore>,
    capacity: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    is_closed: bool,
    trouble: Option<Trouble>,
    task: Option<JoinHandle<()>>,
}

/// Why nothing gets through.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// There is no connection.
    Down(Arc<Failure>),
    /// The broker takes nothing, and says why.
    Blocked(String),
}

/// One message and who waits for its acceptance.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) message: Bytes,
    pub(crate) since: Instant,
    pub(crate) reply: Reply,
    /// Given back when the broker has answered, or the connection is gone.
    pub(crate) room: OwnedSemaphorePermit,
}

/// Who waits, until told.
#[derive(Debug)]
pub(crate) struct Reply(oneshot::Sender<Result<(), Error>>);

impl Publisher {
    pub(crate) fn new(connector: Arc<Connector>, status: Arc<Status>, options: &AmqpOptions, host_id: &HostId) -> Self {
        let limit = options.common.max_in_flight_bytes;
        let capacity = limit.clamp(MIN_COST, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let queue = Queue {
            options: options.clone(),
            connector,
            status,
            host_id: host_id.clone(),
            task: AtomicWaker::new(),
            turn: tokio::sync::Mutex::new(()),
            room: Arc::new(Semaphore::new(capacity)),
            capacity: u32::try_from(capacity).expect("clamped to u32"),
            state: Mutex::default(),
        };
        Self { queue: Arc::new(queue) }
    }

    pub(crate) async fn publish(&self, message: Bytes) -> Result<(), Error> {
        if self.queue.state().is_closed {
            return Err(closed());
        }
        let since = Instant::now();
        let until = since + self.queue.deadline();
        let Ok(answer) = timeout_at(until, self.queue.hand_over(message, since)).await else {
            self.queue.status.publish_failed();
            return Err(self.queue.overdue());
        };
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Refuses new publishes and waits until all others are answered, up to the deadline.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let num_failures = self.queue.status.num_publish_failures();
        let deadline = self.queue.deadline();
        let until = Instant::now() + deadline;
        self.queue.close();
        let settled = timeout_at(until, self.queue.until_settled()).await;
        self.queue.task.wake();
        if let Some(mut task) = self.queue.take_task()
            && timeout_at(until, &mut task).await.is_err()
        {
            // Whoever still waits is answered, and the connection cut.
            task.abort();
            let _ = task.await;
        }
        let num_lost = self.queue.status.num_publish_failures() - num_failures;
        if settled.is_ok() && num_lost == 0 {
            return Ok(());
        }
        let within = seconds(deadline);
        let label = self.queue.connector.label();
        let text = format!("{num_lost} messages could not be flushed to RabbitMQ at {label} within {within}");
        Err(Error::new(ErrorKind::Timeout, text))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // The task goes on until everything is answered.
        self.queue.close();
    }
}

impl Queue {
    /// Queues a message as soon as there is room for it, behind all who were here before.
    async fn hand_over(self: &Arc<Self>, message: Bytes, since: Instant) -> oneshot::Receiver<Result<(), Error>> {
        // Not subject to the task's budget: the first poll decides the order.
        let _turn = unconstrained(self.turn.lock()).await;
        let room = self.room.clone().acquire_many_owned(self.cost(&message));
        let room = unconstrained(room).await.expect("the semaphore is never closed");
        let (reply, answer) = oneshot::channel();
        self.enqueue(Job {
            message,
            since,
            reply: Reply(reply),
            room,
        });
        answer
    }

    fn enqueue(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        state.jobs.push_back(job);
        // A task ends with its runtime; a manager may outlive that.
        if state.task.as_ref().is_none_or(JoinHandle::is_finished) {
            state.task = Some(tokio::spawn(drive::drive(self.clone())));
        }
        drop(state);
        self.task.wake();
    }

    fn cost(&self, message: &Bytes) -> u32 {
        // A message larger than the whole limit passes alone.
        let cost = u32::try_from(message.len().max(MIN_COST)).unwrap_or(u32::MAX);
        cost.min(self.capacity)
    }

    fn close(&self) {
        self.state().is_closed = true;
        self.task.wake();
    }

    fn take_task(&self) -> Option<JoinHandle<()>> {
        self.state().task.take()
    }

    /// Waits behind all who were here before, until all room is given back.
    async fn until_settled(&self) {
        let _turn = self.turn.lock().await;
        let all = self.room.acquire_many(self.capacity).await;
        drop(all.expect("the semaphore is never closed"));
    }

    /// Takes the next job to send.
    pub(crate) fn next_job(&self) -> Option<Job> {
        self.state().jobs.pop_front()
    }

    pub(crate) fn has_jobs(&self) -> bool {
        !self.state().jobs.is_empty()
    }

    /// Tells whether no further job will come.
    pub(crate) fn is_over(&self) -> bool {
        let is_settled = self.room.available_permits() == self.capacity as usize;
        // Whoever still waits for room keeps part of it from being available, or is about to.
        is_settled && self.state().is_closed && self.turn.try_lock().is_ok()
    }

    /// Takes note of what keeps messages from getting through.
    pub(crate) fn set_trouble(&self, trouble: Option<Trouble>) {
        self.state().trouble = trouble;
    }

    /// When the oldest queued job has waited long enough.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let oldest = self.state().jobs.front().map(|job| job.since);
        oldest.map(|since| since + self.deadline())
    }

    /// Fails the queued jobs that have waited long enough.
    pub(crate) fn expire(&self) {
        while let Some(job) = self.pop_overdue() {
            self.fail(job.reply, self.overdue());
        }
    }

    fn pop_overdue(&self) -> Option<Job> {
        let mut state = self.state();
        let oldest = state.jobs.front()?;
        match oldest.since.elapsed() >= self.deadline() {
            true => state.jobs.pop_front(),
            false => None,
        }
    }

    pub(crate) fn fail_all(&self, error: impl Fn() -> Error) {
        while let Some(job) = self.next_job() {
            self.fail(job.reply, error());
        }
    }

    /// Tells a caller that its publish failed.
    pub(crate) fn fail(&self, reply: Reply, error: Error) {
        self.status.publish_failed();
        // The caller may have given up.
        let _ = reply.0.send(Err(error));
    }

    /// Tells a caller that its message was accepted.
    pub(crate) fn accept(&self, reply: Reply) {
        self.status.published();
        let _ = reply.0.send(Ok(()));
    }

    /// What a caller is told whose deadline passed.
    pub(crate) fn overdue(&self) -> Error {
        let trouble = self.state().trouble.clone();
        let label = self.connector.label();
        match trouble {
            Some(Trouble::Down(failure)) => failure.unreachable(self.deadline()),
            Some(Trouble::Blocked(reason)) => blocked(label, &reason, self.deadline()),
            None => timed_out(label, self.deadline()),
        }
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.options.common.deadline
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
