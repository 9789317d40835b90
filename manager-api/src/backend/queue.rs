//! The queue of publishes: who waits in which order, for how long, and what they are told.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::{Failure, PublishLink, Role, Status, closed, drive, may_be_published};
use crate::deadline;
use crate::subscription::MIN_COST;
use crate::{Error, ManagerOptions};

/// What callers and the publishing task share.
#[derive(Debug)]
pub struct PublishQueue<L: PublishLink> {
    /// How messages get to the broker.
    pub line: L,
    /// Counts what becomes of them.
    pub status: Arc<Status>,
    options: ManagerOptions,
    /// The publishing task; woken by whoever changes `state`.
    task: AtomicWaker,
    state: Mutex<State<L::Failure>>,
    /// Passed on in the order of first polls among those who wait for room.
    turn: tokio::sync::Mutex<()>,
    has_room: Notify,
    is_settled: Notify,
}

#[derive(Debug)]
struct State<F> {
    jobs: VecDeque<Job>,
    /// Bytes of messages handed over and not yet released, those on their way included.
    held_bytes: usize,
    num_held: usize,
    num_waiting: usize,
    is_closed: bool,
    /// Why nothing gets through.
    trouble: Option<Arc<F>>,
    task: Option<JoinHandle<()>>,
}

/// One message and who waits for its acceptance. It holds its room in the queue until it is released.
#[derive(Debug)]
#[must_use]
pub struct Job {
    /// What to send.
    pub message: Bytes,
    /// When the caller began to wait.
    pub since: Instant,
    cost: usize,
    /// `None` once the caller was told.
    reply: Option<oneshot::Sender<Result<(), Error>>>,
}

impl<L: PublishLink> PublishQueue<L> {
    pub(super) fn new(line: L, options: &ManagerOptions, status: Arc<Status>) -> Self {
        Self {
            line,
            status,
            options: options.clone(),
            task: AtomicWaker::new(),
            state: Mutex::new(State::new()),
            turn: tokio::sync::Mutex::new(()),
            has_room: Notify::new(),
            is_settled: Notify::new(),
        }
    }

    pub(super) async fn publish(self: &Arc<Self>, message: Bytes) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            cost: message.len().max(MIN_COST),
            message,
            since: Instant::now(),
            reply: Some(reply),
        };
        if let Some(job) = self.hand_over(job)? {
            self.wait_for_room(job).await?;
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

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
        // A message larger than the whole limit passes alone.
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

    /// Has `waker` woken by whatever changes the queue.
    pub fn register(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Takes the next job to send.
    pub fn next_job(&self) -> Option<Job> {
        self.state().jobs.pop_front()
    }

    /// Tells whether there is anything to send.
    pub fn has_jobs(&self) -> bool {
        !self.state().jobs.is_empty()
    }

    /// Puts jobs that were never sent back to the front.
    pub fn put_back(&self, jobs: impl DoubleEndedIterator<Item = Job>) {
        let mut state = self.state();
        jobs.rev().for_each(|job| state.jobs.push_front(job));
    }

    /// Tells whether the task has nothing left to do, ever: the manager is closed and every job was released.
    pub fn is_over(&self) -> bool {
        let state = self.state();
        state.is_closed && state.is_settled()
    }

    /// Takes note of what keeps messages from getting through, for callers whose deadline passes; of nothing, that they do again.
    pub fn set_trouble(&self, trouble: Option<Arc<L::Failure>>) {
        self.state().trouble = trouble;
    }

    /// Takes note of a connection that failed or was lost, before anybody is told.
    pub fn lost(&self, failure: &Arc<L::Failure>) {
        self.status.down(Role::Publishing);
        self.status.lost(&**failure);
        self.set_trouble(Some(failure.clone()));
    }

    /// When the oldest queued job has waited long enough; never later than whatever is queued from now on.
    pub fn next_due(&self) -> Instant {
        let oldest = self.state().jobs.front().map(|job| job.since);
        deadline::from(oldest.unwrap_or_else(Instant::now), self.deadline())
    }

    /// Fails the queued jobs that have waited long enough. A [`PublishLink`] calls it when [`next_due`](Self::next_due) is reached.
    pub fn expire(&self) {
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

    pub(super) fn fail_all(&self, error: impl Fn() -> Error) {
        while let Some(job) = self.next_job() {
            self.fail(job, error());
        }
    }

    /// Tells the caller that the broker has accepted; the room is still held, so that many jobs can be released at once.
    pub fn accept(&self, job: &mut Job) {
        if let Some(reply) = job.reply.take() {
            self.status.published();
            // The caller may have given up.
            let _ = reply.send(Ok(()));
        }
    }

    /// Tells the caller that the publish failed; the room is still held, for a message that the client library still holds.
    pub fn give_up(&self, job: &mut Job, error: Error) {
        if let Some(reply) = job.reply.take() {
            self.status.publish_failed();
            let _ = reply.send(Err(error));
        }
    }

    /// Tells the caller that the publish failed, and makes room.
    pub fn fail(&self, mut job: Job, error: Error) {
        self.give_up(&mut job, error);
        self.release(1, job.cost);
    }

    /// Makes room after `count` jobs of `cost` bytes together were answered.
    pub fn release(&self, count: usize, cost: usize) {
        let mut state = self.state();
        state.held_bytes -= cost;
        state.num_held -= count;
        if state.num_waiting > 0 {
            self.has_room.notify_waiters();
        }
        if state.is_settled() {
            self.is_settled.notify_waiters();
        }
    }

    /// What a caller is told whose deadline passed after the message was sent, or who is left behind then.
    pub fn unanswered(&self) -> Error {
        may_be_published(self.overdue())
    }

    /// What a caller is told whose deadline passed before the message was sent.
    pub fn overdue(&self) -> Error {
        let trouble = self.state().trouble.clone();
        match trouble {
            Some(failure) => failure.unreachable(self.deadline()),
            None => self.line.timed_out(self.deadline()),
        }
    }

    /// The longest that a publish may take.
    pub fn deadline(&self) -> Duration {
        self.options.deadline
    }

    pub(super) fn options(&self) -> &ManagerOptions {
        &self.options
    }

    fn state(&self) -> MutexGuard<'_, State<L::Failure>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// The bytes that the job takes up: those of its message, but not less than [`MIN_COST`].
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Tells whether the caller was told what became of the message.
    pub fn is_answered(&self) -> bool {
        self.reply.is_none()
    }
}

/// One caller who waits for room; counted until it has it or gives up.
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
