//! The queue of publishes: who waits in which order, for how long, and what they are told.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use manager_api::{Error, ErrorKind, MIN_COST};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::RedisOptions;
use crate::connect::Connector;
use crate::drive;
use crate::error::{Failure, closed, seconds, timed_out};
use crate::status::Status;

/// Queues publishes for a task of its own, which the first publish starts.
#[derive(Debug)]
pub(crate) struct Publisher {
    queue: Arc<Queue>,
}

/// What callers and the publishing task share.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) options: RedisOptions,
    pub(crate) connector: Arc<Connector>,
    pub(crate) status: Arc<Status>,
    /// The publishing task; woken by whoever changes `state`.
    pub(crate) task: AtomicWaker,
    state: Mutex<State>,
    /// Passed on in the order of first polls among those who wait for room.
    turn: tokio::sync::Mutex<()>,
    has_room: Notify,
    is_settled: Notify,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Bytes of messages handed over and not yet answered, those on their way included.
    held_bytes: usize,
    num_unanswered: usize,
    num_waiting: usize,
    is_closed: bool,
    /// Why there is no connection.
    failure: Option<Arc<Failure>>,
    task: Option<JoinHandle<()>>,
}

/// One message and who waits for its acceptance.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) message: Bytes,
    pub(crate) since: Instant,
    reply: oneshot::Sender<Result<(), Error>>,
}

impl Publisher {
    pub(crate) fn new(connector: Arc<Connector>, status: Arc<Status>, options: &RedisOptions) -> Self {
        let queue = Queue {
            options: options.clone(),
            connector,
            status,
            task: AtomicWaker::new(),
            state: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
            has_room: Notify::new(),
            is_settled: Notify::new(),
        };
        Self { queue: Arc::new(queue) }
    }

    pub(crate) async fn publish(&self, message: Bytes) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        let since = Instant::now();
        let job = Job { message, since, reply };
        if let Some(job) = self.queue.hand_over(job)? {
            self.queue.wait_for_room(job).await?;
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Refuses new publishes and waits until all others are answered, up to the deadline.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let num_failures = self.queue.status.num_publish_failures();
        let deadline = self.queue.deadline();
        self.queue.close();
        let settled = timeout(deadline, self.queue.until_settled()).await;
        if let Some(task) = self.queue.take_task() {
            // Whoever still waits is answered, and the connection closed.
            task.abort();
            let _ = task.await;
        }
        let num_lost = self.queue.status.num_publish_failures() - num_failures;
        if settled.is_ok() && num_lost == 0 {
            return Ok(());
        }
        let within = seconds(deadline);
        let text = format!(
            "{num_lost} messages could not be flushed to Redis at {} within {within}",
            self.queue.connector.label()
        );
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
    /// Queues `job`, or gives it back if it must wait for room.
    fn hand_over(self: &Arc<Self>, job: Job) -> Result<Option<Job>, Error> {
        {
            let mut state = self.state();
            if state.is_closed {
                return Err(closed());
            }
            if state.num_waiting > 0 || !self.fits(&state, &job) {
                state.num_waiting += 1;
                return Ok(Some(job));
            }
            self.enqueue(&mut state, job);
        }
        self.task.wake();
        Ok(None)
    }

    /// Waits for room behind all who were here before.
    async fn wait_for_room(self: &Arc<Self>, job: Job) -> Result<(), Error> {
        let until = job.since + self.deadline();
        let mut waiting = Waiting {
            queue: self,
            is_over: false,
        };
        let enqueued = async {
            // Not subject to the task's budget: the first poll decides the order.
            let _turn = tokio::task::unconstrained(self.turn.lock()).await;
            let mut job = Some(job);
            loop {
                let mut has_room = pin!(self.has_room.notified());
                has_room.as_mut().enable();
                if waiting.try_enqueue(&mut job) {
                    return;
                }
                has_room.await;
            }
        };
        if timeout_at(until, enqueued).await.is_err() {
            self.status.publish_failed();
            return Err(self.overdue());
        }
        self.task.wake();
        Ok(())
    }

    fn enqueue(self: &Arc<Self>, state: &mut State, job: Job) {
        state.held_bytes += job.cost();
        state.num_unanswered += 1;
        state.jobs.push_back(job);
        // A task ends with its runtime; a manager may outlive that.
        if state.task.as_ref().is_none_or(JoinHandle::is_finished) {
            state.task = Some(tokio::spawn(drive::drive(self.clone())));
        }
    }

    fn fits(&self, state: &State, job: &Job) -> bool {
        // A message larger than the whole limit passes alone.
        let limit = self.options.common.max_in_flight_bytes;
        state.held_bytes == 0 || state.held_bytes + job.cost() <= limit
    }

    fn close(&self) {
        self.state().is_closed = true;
        self.task.wake();
    }

    fn take_task(&self) -> Option<JoinHandle<()>> {
        self.state().task.take()
    }

    async fn until_settled(&self) {
        loop {
            let mut settled = pin!(self.is_settled.notified());
            settled.as_mut().enable();
            if self.state().is_settled() {
                return;
            }
            settled.await;
        }
    }

    /// Takes the next job to send.
    pub(crate) fn next_job(&self) -> Option<Job> {
        self.state().jobs.pop_front()
    }

    pub(crate) fn has_jobs(&self) -> bool {
        !self.state().jobs.is_empty()
    }

    /// Puts jobs that were never sent back to the front.
    pub(crate) fn put_back(&self, jobs: impl DoubleEndedIterator<Item = Job>) {
        let mut state = self.state();
        jobs.rev().for_each(|job| state.jobs.push_front(job));
    }

    /// Tells whether the task has nothing left to do, ever.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state();
        state.is_closed && state.is_settled()
    }

    /// Takes note of why there is no connection, or that there is one.
    pub(crate) fn set_failure(&self, failure: Option<Arc<Failure>>) {
        self.state().failure = failure;
    }

    /// When the oldest queued job has waited long enough.
    pub(crate) fn next_due(&self) -> Instant {
        let state = self.state();
        let oldest = state.jobs.front().map(|job| job.since);
        // Whatever is queued from now on is due later than this.
        oldest.unwrap_or_else(Instant::now) + self.deadline()
    }

    /// Fails the queued jobs that have waited long enough.
    pub(crate) fn expire(&self) {
        while let Some(job) = self.pop_overdue() {
            self.fail(job, self.overdue());
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
            self.fail(job, error());
        }
    }

    pub(crate) fn fail(&self, job: Job, error: Error) {
        let cost = job.cost();
        self.status.publish_failed();
        job.answer(Err(error));
        self.release(1, cost);
    }

    /// Makes room after `count` jobs of `cost` bytes together were answered.
    pub(crate) fn release(&self, count: usize, cost: usize) {
        let mut state = self.state();
        state.held_bytes -= cost;
        state.num_unanswered -= count;
        if state.num_waiting > 0 {
            self.has_room.notify_waiters();
        }
        if state.is_settled() {
            self.is_settled.notify_waiters();
        }
    }

    /// What a caller is told whose deadline passed before its message was sent.
    pub(crate) fn overdue(&self) -> Error {
        match &self.state().failure {
            Some(failure) => failure.unreachable(self.deadline()),
            None => timed_out(self.connector.label(), self.deadline()),
        }
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.options.common.deadline
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_settled(&self) -> bool {
        self.num_unanswered == 0 && self.num_waiting == 0
    }
}

impl Job {
    pub(crate) fn cost(&self) -> usize {
        self.message.len().max(MIN_COST)
    }

    /// Tells the caller, if it still waits.
    pub(crate) fn answer(self, result: Result<(), Error>) {
        let _ = self.reply.send(result);
    }
}

/// One caller who waits for room; counted until it has it or gives up.
struct Waiting<'a> {
    queue: &'a Arc<Queue>,
    is_over: bool,
}

impl Waiting<'_> {
    fn try_enqueue(&mut self, job: &mut Option<Job>) -> bool {
        let mut state = self.queue.state();
        let Some(job) = job.take_if(|job| self.queue.fits(&state, job)) else {
            return false;
        };
        self.queue.enqueue(&mut state, job);
        state.num_waiting -= 1;
        self.is_over = true;
        true
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.queue.state().num_waiting -= 1;
            self.queue.release(0, 0);
        }
    }
}
