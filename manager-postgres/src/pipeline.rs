//! The pipeline: sends queued messages in batches, each a transaction, and completes their jobs in order.
//!
//! While the server commits a batch, which takes as long as its disk, what is published meanwhile is sent as the next
//! one: the slower the disk, the larger the batches. A batch is committed as a whole or not at all, and in the order in
//! which it was sent.
//!
//! | answer | jobs of the batch |
//! |---|---|
//! | committed | accepted |
//! | an error | fail: none was published; the connection remains in use |
//! | none or a fatal error, the connection is lost | fail: all or none may have been published; they are not sent again |
//! | none within `keepalive_timeout` | the same, and the connection is replaced |

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use manager_api::backend::{Failure as _, Job};
use manager_api::{Error, deadline};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_postgres::Client;
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::types::Type;

use crate::config::quoted;
use crate::error::Failure;
use crate::publish::{Carries, Queue};
use crate::session::Session;
use crate::topics::batch;
use crate::trim::Trim;

/// The number of batches under way: one that the server commits, and one that it receives meanwhile.
const MAX_FLIGHTS: usize = 2;
/// The length of a batch, in bytes, after which no further message is added.
pub(crate) const MAX_BATCH_BYTES: usize = 1 << 20;

/// The answer to a batch, or to a deletion.
pub(crate) type Answer = BoxFuture<'static, Result<(), tokio_postgres::Error>>;

/// One connection in use, polled until it is lost.
pub(crate) struct Pipeline<'a> {
    /// The jobs that wait, and those in flight.
    queue: &'a Queue,
    /// The connection.
    session: &'a Session,
    /// The statement that publishes a batch.
    statement: Arc<str>,
    /// The batches that were sent, the oldest first.
    flights: VecDeque<Flight>,
    /// When old messages are deleted next.
    trim: Trim,
    /// A deletion under way. Batches are sent behind it, as behind each other: its answer may never come.
    trimming: Option<BoxFuture<'a, Result<Trim, Failure>>>,
    /// Completes when the connection has ended.
    ended: BoxFuture<'a, Failure>,
    /// Fires at the next deadline of a job, and when a deletion is due.
    timer: Pin<Box<Sleep>>,
}

/// One batch without its answer.
struct Flight {
    /// The answer of the server, once it comes.
    answer: Answer,
    /// They count against the queue's limit until the batch is answered, because the client library holds the messages,
    /// even if a caller waits no longer.
    jobs: Vec<Job>,
    /// When the batch was sent.
    since: Instant,
    /// The number of jobs, from the first on, whose callers were notified of their deadlines.
    num_expired: usize,
}

impl<'a> Pipeline<'a> {
    /// Creates a pipeline on a connection.
    pub(crate) fn new(queue: &'a Queue, session: &'a Session) -> Self {
        let link = &queue.link;
        let schema = &link.connector.schema;
        Self {
            queue,
            session,
            statement: format!("SELECT {}.publish($1, $2)", quoted(schema)).into(),
            flights: VecDeque::new(),
            trim: Trim::new(
                schema,
                match link.carries {
                    Carries::Log => link.options.trim_interval,
                    Carries::Notices => Duration::ZERO,
                },
            ),
            trimming: None,
            ended: session.ended().boxed(),
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Sends and receives as much as possible; ready when the connection is lost, or the queue is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Arc<Failure>>> {
        self.queue.register(cx.waker());
        loop {
            let num_answered = self.poll_answers(cx)?;
            if self.send() + num_answered == 0 {
                break;
            }
        }
        self.poll_trim(cx)?;
        if let Poll::Ready(failure) = self.ended.poll_unpin(cx) {
            return Poll::Ready(Err(Arc::new(failure)));
        }
        let next = self.next_due();
        if next < self.timer.deadline() {
            self.timer.as_mut().reset(next);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            self.expire()?;
            // One that is due and not begun would keep the timer firing.
            self.poll_trim(cx)?;
            let next = self.next_due();
            self.timer.as_mut().reset(next);
        }
        match self.flights.is_empty() && self.queue.is_over() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    /// Fails the jobs that were sent, once the connection is lost.
    pub(crate) fn abandon(&mut self, failure: &Arc<Failure>) {
        self.fail_flights(|| failure.lost());
    }

    /// Fails every job in flight.
    fn fail_flights(&mut self, error: impl Fn() -> Error) {
        for flight in self.flights.drain(..) {
            flight.jobs.into_iter().for_each(|job| self.queue.fail(job, error()));
        }
    }

    /// Sends as many batches as may be under way; returns how many. While one is, what is queued makes the next.
    fn send(&mut self) -> usize {
        let mut count = 0;
        // On a connection that has ended nothing is sent: what is queued is sent on the next one.
        let is_open = !self.session.client.is_closed();
        while is_open && self.flights.len() < MAX_FLIGHTS && self.queue.has_jobs() {
            self.send_batch();
            count += 1;
        }
        count
    }

    /// Sends what is queued, up to the limits of a batch, as one transaction.
    fn send_batch(&mut self) {
        let (jobs, mut answer) = match self.queue.link.carries {
            Carries::Log => self.next_batch(),
            Carries::Notices => batch::next(self.queue, &self.session.client),
        };
        // The first poll sends. The outcome is polled again when it is this batch's turn.
        if let Poll::Ready(done) = answer.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            answer = std::future::ready(done).boxed();
        }
        self.flights.push_back(Flight {
            answer,
            jobs,
            since: Instant::now(),
            num_expired: 0,
        });
    }

    /// Takes the next messages of the log.
    fn next_batch(&self) -> (Vec<Job>, Answer) {
        let max_batch = self.queue.link.options.max_batch.max(1);
        let (mut jobs, mut messages, mut num_bytes) = (Vec::new(), Vec::new(), 0);
        while jobs.len() < max_batch && num_bytes < MAX_BATCH_BYTES {
            let Some(mut job) = self.queue.next_job() else { break };
            let message = std::mem::take(&mut job.message);
            num_bytes += message.len();
            messages.push(message);
            jobs.push(job);
        }
        let channel = self.queue.link.options.common.channel.clone();
        let sent = publish(self.session.client.clone(), self.statement.clone(), channel, messages);
        (jobs, sent.boxed())
    }

    /// Takes answers in the order of the batches; returns how many there were.
    fn poll_answers(&mut self, cx: &mut Context<'_>) -> Result<usize, Arc<Failure>> {
        let mut count = 0;
        while let Some(first) = self.flights.front_mut() {
            let Poll::Ready(outcome) = first.answer.poll_unpin(cx) else {
                break;
            };
            match outcome {
                Ok(()) => self.accept(),
                Err(error) => self.refuse(error)?,
            }
            count += 1;
        }
        Ok(count)
    }

    /// Completes the jobs of the first batch, which is committed.
    fn accept(&mut self) {
        let Some(mut flight) = self.flights.pop_front() else {
            return;
        };
        let cost = flight.jobs.iter().map(Job::cost).sum();
        flight.jobs.iter_mut().for_each(|job| self.queue.accept(job));
        self.queue.release(flight.jobs.len(), cost);
    }

    /// Fails the jobs of the first batch, if the server has answered that it did not commit them.
    fn refuse(&mut self, error: tokio_postgres::Error) -> Result<(), Arc<Failure>> {
        let is_answer = error.as_db_error().is_some_and(|answer| !is_fatal(answer));
        let failure = Arc::new(self.session.failure(error));
        if !is_answer || self.session.client.is_closed() {
            return Err(failure);
        }
        self.queue.status.failed(&*failure);
        if failure.is_refused() {
            self.queue.status.refused();
        }
        if let Some(flight) = self.flights.pop_front() {
            flight
                .jobs
                .into_iter()
                .for_each(|job| self.queue.fail(job, failure.refused()));
        }
        Ok(())
    }

    /// Begins a deletion of old messages, if that is due, and takes the answer of the one under way.
    fn poll_trim(&mut self, cx: &mut Context<'_>) -> Result<(), Arc<Failure>> {
        if self.trimming.is_none() && self.trim.is_due() {
            let link = &self.queue.link;
            let (session, limit) = (self.session, link.options.keepalive_timeout);
            let idle = Trim::new(&link.connector.schema, Duration::ZERO);
            let mut trim = std::mem::replace(&mut self.trim, idle);
            let trimming = async move { trim.run_if_due(session, limit).await.map(|()| trim) };
            self.trimming = Some(trimming.boxed());
        }
        if let Some(trimming) = &mut self.trimming
            && let Poll::Ready(outcome) = trimming.poll_unpin(cx)
        {
            self.trimming = None;
            self.trim = outcome.map_err(Arc::new)?;
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// Notifies callers whose deadline passed; fails if the server has not answered for too long.
    fn expire(&mut self) -> Result<(), Arc<Failure>> {
        self.queue.expire();
        let limit = self.queue.link.options.keepalive_timeout;
        if self.flights.front().is_some_and(|first| first.since.elapsed() >= limit) {
            return Err(Arc::new(Failure::silent(&self.session.address, limit)));
        }
        let deadline = self.queue.deadline();
        for flight in &mut self.flights {
            while let Some(job) = flight.jobs.get_mut(flight.num_expired)
                && job.since.elapsed() >= deadline
            {
                self.queue.give_up(job, self.queue.unconfirmed());
                flight.num_expired += 1;
            }
        }
        Ok(())
    }

    /// Returns the next time at which something expires or is due; never later than the deadline of any job queued from
    /// now on.
    fn next_due(&self) -> Instant {
        let deadline_of = |job: &Job| deadline::from(job.since, self.queue.deadline());
        let jobs = self
            .flights
            .iter()
            .filter_map(|flight| flight.jobs.get(flight.num_expired));
        let limit = self.queue.link.options.keepalive_timeout;
        let answer = self.flights.front().map(|first| deadline::from(first.since, limit));
        let times = jobs.map(deadline_of).chain(answer).chain(self.trim.next());
        times.fold(self.queue.next_due(), Instant::min)
    }
}

/// Returns whether an error ends the connection. It says nothing about a commit under way: an operator may end the
/// connection between the commit and its confirmation, and a pooler tells that its own connection was lost.
fn is_fatal(answer: &DbError) -> bool {
    match answer.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        // A pooler may send only the other field, which PostgreSQL translates.
        None => matches!(answer.severity(), "FATAL" | "PANIC"),
    }
}

/// The task may be aborted: the remaining jobs fail as if their deadlines had passed.
impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        let queue = self.queue;
        self.fail_flights(|| queue.unconfirmed());
    }
}

/// Publishes messages in one transaction.
async fn publish(
    client: Arc<Client>,
    statement: Arc<str>,
    channel: String,
    messages: Vec<Bytes>,
) -> Result<(), tokio_postgres::Error> {
    let messages: Vec<&[u8]> = messages.iter().map(|message| &message[..]).collect();
    let parameters = [(&channel as _, Type::TEXT), (&messages as _, Type::BYTEA_ARRAY)];
    client.query_typed(&statement, &parameters).await.map(drop)
}
