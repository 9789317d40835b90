//! The queue of publishes: their order, deadlines, byte limit and outcomes.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::{Failure, PublishLink, Role, Status, closed, drive, may_be_published};
use crate::deadline;
use crate::lock::Unpoisoned;
use crate::subscription::MIN_COST;
use crate::{Error, ManagerOptions};

/// The queue shared by callers and the publishing task.
#[derive(Debug)]
pub struct PublishQueue<L: PublishLink> {
    /// The connection to the broker.
    pub link: L,
    /// Counts the outcomes.
    pub status: Arc<Status>,
    options: ManagerOptions,
    /// Wakes the publishing task after every change of `state`.
    task: AtomicWaker,
    state: Mutex<State<L::Failure>>,
    /// Acquired, in the order of first polls, by publishes that wait for capacity.
    turn: tokio::sync::Mutex<()>,
    has_capacity: Notify,
    is_settled: Notify,
}

#[derive(Debug)]
struct State<F> {
    jobs: VecDeque<Job>,
    /// Bytes of messages accepted into the queue and not yet released, those in flight included.
    held_bytes: usize,
    num_held: usize,
    num_waiting: usize,
    is_closed: bool,
    /// The failure that prevents sending.
    trouble: Option<Arc<F>>,
    task: Option<JoinHandle<()>>,
}

/// One message and the caller that waits for its acceptance. It counts against the limit of the queue until it is
/// released.
#[derive(Debug)]
#[must_use]
pub struct Job {
    /// The words of the command before the message, for a message to a topic; empty for one to the channel.
    pub head: Bytes,
    /// The message to send.
    pub message: Bytes,
    /// When the caller began to wait.
    pub since: Instant,
    cost: usize,
    /// `None` once the caller was notified.
    outcome: Option<oneshot::Sender<Result<(), Error>>>,
}

impl<L: PublishLink> PublishQueue<L> {
    pub(super) fn new(link: L, options: &ManagerOptions, status: Arc<Status>) -> Self {
        Self {
            link,
            status,
            options: options.clone(),
            task: AtomicWaker::new(),
            state: Mutex::new(State::new()),
            turn: tokio::sync::Mutex::new(()),
            has_capacity: Notify::new(),
            is_settled: Notify::new(),
        }
    }

    pub(super) async fn publish(self: &Arc<Self>, head: Bytes, message: Bytes) -> Result<(), Error> {
        let (sender, outcome) = oneshot::channel();
        let job = Job {
            cost: (head.len() + message.len()).max(MIN_COST),
            head,
            message,
            since: Instant::now(),
            outcome: Some(sender),
        };
        if let Some(job) = self.try_enqueue(job)? {
            self.wait_for_capacity(job).await?;
        }
        // The task ended with its runtime, perhaps after it had sent the message.
        outcome.await.unwrap_or_else(|_| Err(closed().possibly_published()))
    }

    /// Queues `job`, or returns it if it must wait for capacity.
    fn try_enqueue(self: &Arc<Self>, job: Job) -> Result<Option<Job>, Error> {
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

    /// Queues `job` once there is capacity, after all publishes that waited before.
    async fn wait_for_capacity(self: &Arc<Self>, job: Job) -> Result<(), Error> {
        let until = deadline::from(job.since, self.deadline());
        let mut waiting = Waiting {
            queue: self,
            is_over: false,
        };
        let enqueued = async {
            // Not subject to the task's budget: the first poll decides the order.
            let _turn = tokio::task::unconstrained(self.turn.lock()).await;
            let mut job = Some(job);
            loop {
                let mut has_capacity = pin!(self.has_capacity.notified());
                has_capacity.as_mut().enable();
                if waiting.try_enqueue(&mut job) {
                    return;
                }
                has_capacity.await;
            }
        };
        if timeout_at(until, enqueued).await.is_err() {
            self.status.publish_failed();
            return Err(self.overdue());
        }
        self.task.wake();
        Ok(())
    }

    fn enqueue(self: &Arc<Self>, state: &mut State<L::Failure>, job: Job) {
        state.held_bytes += job.cost;
        state.num_held += 1;
        state.jobs.push_back(job);
        // A task ends with its runtime; a manager may outlive that.
        if state.task.as_ref().is_none_or(JoinHandle::is_finished) {
            state.task = Some(tokio::spawn(drive::drive(self.clone())));
        }
    }

    fn fits(&self, state: &State<L::Failure>, job: &Job) -> bool {
        // A message larger than the whole limit is admitted alone.
        state.held_bytes == 0 || state.held_bytes + job.cost <= self.options.max_in_flight_bytes
    }

    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.task.wake();
    }

    pub(super) fn take_task(&self) -> Option<JoinHandle<()>> {
        self.state().task.take()
    }

    pub(super) async fn until_settled(&self) {
        loop {
            let mut settled = pin!(self.is_settled.notified());
            settled.as_mut().enable();
            if self.state().is_settled() {
                return;
            }
            settled.await;
        }
    }

    /// Registers `waker` to be woken by every change of the queue.
    pub fn register(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Takes the next job to send.
    pub fn next_job(&self) -> Option<Job> {
        self.state().jobs.pop_front()
    }

    /// Returns whether a job is queued.
    pub fn has_jobs(&self) -> bool {
        !self.state().jobs.is_empty()
    }

    /// Returns jobs that were never sent to the front of the queue.
    pub fn put_back(&self, jobs: impl DoubleEndedIterator<Item = Job>) {
        let mut state = self.state();
        jobs.rev().for_each(|job| state.jobs.push_front(job));
    }

    /// Returns whether the task has no work left: the manager is closed and every job was released.
    pub fn is_over(&self) -> bool {
        let state = self.state();
        state.is_closed && state.is_settled()
    }

    /// Records the failure that prevents sending, for callers whose deadline passes; `None` once messages can be sent
    /// again.
    pub fn set_trouble(&self, trouble: Option<Arc<L::Failure>>) {
        self.state().trouble = trouble;
    }

    /// Records a connection that failed or was lost; to be called before jobs are failed because of it.
    pub fn lost(&self, failure: &Arc<L::Failure>) {
        self.status.down(Role::Publishing);
        self.status.lost(&**failure);
        self.set_trouble(Some(failure.clone()));
    }

    /// Returns the deadline of the oldest queued job; never later than that of any job queued from now on.
    pub fn next_due(&self) -> Instant {
        let oldest = self.state().jobs.front().map(|job| job.since);
        deadline::from(oldest.unwrap_or_else(Instant::now), self.deadline())
    }

    /// Fails the queued jobs whose deadline has passed. A [`PublishLink`] calls it when [`next_due`](Self::next_due) is
    /// reached.
    pub fn expire(&self) {
        while let Some(job) = self.pop_overdue() {
            self.fail(job, self.overdue());
        }
    }

    fn pop_overdue(&self) -> Option<Job> {
        let mut state = self.state();
        let oldest = state.jobs.front()?;
        if oldest.since.elapsed() < self.deadline() {
            return None;
        }
        state.jobs.pop_front()
    }

    pub(super) fn fail_all(&self, error: impl Fn() -> Error) {
        while let Some(job) = self.next_job() {
            self.fail(job, error());
        }
    }

    /// Notifies the caller that the broker has accepted the message; does not release the job, so that many can be
    /// released at once.
    pub fn accept(&self, job: &mut Job) {
        if let Some(outcome) = job.outcome.take() {
            self.status.published();
            // The caller may have stopped waiting.
            let _ = outcome.send(Ok(()));
        }
    }

    /// Notifies the caller that the publish failed; does not release the job, whose message the client library still
    /// holds.
    pub fn give_up(&self, job: &mut Job, error: Error) {
        if let Some(outcome) = job.outcome.take() {
            self.status.publish_failed();
            let _ = outcome.send(Err(error));
        }
    }

    /// Notifies the caller that the publish failed, and releases the job.
    pub fn fail(&self, mut job: Job, error: Error) {
        self.give_up(&mut job, error);
        self.release(1, job.cost);
    }

    /// Releases `count` completed jobs of `cost` bytes together.
    pub fn release(&self, count: usize, cost: usize) {
        let mut state = self.state();
        state.held_bytes -= cost;
        state.num_held -= count;
        if state.num_waiting > 0 {
            self.has_capacity.notify_waiters();
        }
        if state.is_settled() {
            self.is_settled.notify_waiters();
        }
    }

    /// Returns the error of a publish whose deadline passed after the message was sent, or that was abandoned then.
    pub fn unconfirmed(&self) -> Error {
        may_be_published(self.overdue())
    }

    /// Returns the error of a publish whose deadline passed before the message was sent.
    pub fn overdue(&self) -> Error {
        let trouble = self.state().trouble.clone();
        match trouble {
            Some(failure) => failure.unreachable(self.deadline()),
            None => self.link.timed_out(self.deadline()),
        }
    }

    /// Returns the longest that a publish may take.
    pub fn deadline(&self) -> Duration {
        self.options.deadline
    }

    pub(super) fn options(&self) -> &ManagerOptions {
        &self.options
    }

    fn state(&self) -> MutexGuard<'_, State<L::Failure>> {
        self.state.lock().unpoisoned()
    }
}

impl<F> State<F> {
    fn new() -> Self {
        Self {
            jobs: VecDeque::new(),
            held_bytes: 0,
            num_held: 0,
            num_waiting: 0,
            is_closed: false,
            trouble: None,
            task: None,
        }
    }

    fn is_settled(&self) -> bool {
        self.num_held == 0 && self.num_waiting == 0
    }
}

impl Job {
    /// Returns the bytes that count against the limit: those of the message and its head, at least [`MIN_COST`].
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Returns whether the caller was notified of the outcome.
    pub fn is_complete(&self) -> bool {
        self.outcome.is_none()
    }
}

/// One publish that waits for capacity; counted until it is queued or cancelled.
struct Waiting<'a, L: PublishLink> {
    queue: &'a Arc<PublishQueue<L>>,
    is_over: bool,
}

impl<L: PublishLink> Waiting<'_, L> {
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

impl<L: PublishLink> Drop for Waiting<'_, L> {
    fn drop(&mut self) {
        if !self.is_over {
            self.queue.state().num_waiting -= 1;
            self.queue.release(0, 0);
        }
    }
}
