//! Acknowledgements: who asked, who may answer, and until when.

mod by_client;
mod table;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

pub use table::{AckTable, FORGOTTEN_AT_ONCE, Unanswered};

use crate::byte_budget::BytePermit;
use crate::{Error, ErrorKind, Payload, Sid};

/// Tells one client of this process from another, for as long as the process lives.
pub type ClientKey = u64;

/// Limits of an [`AckTable`].
#[derive(Clone, Copy, Debug)]
pub struct AckLimits {
    /// Acknowledgements that may be expected of this process's clients for other processes. Default 1,000,000.
    pub max_expected_acks: usize,
    /// Bytes that acknowledgements for this process may take together until they are read. Default 64 MiB.
    pub max_waiting_ack_bytes: usize,
}

impl Default for AckLimits {
    fn default() -> Self {
        Self {
            max_expected_acks: 1_000_000,
            max_waiting_ack_bytes: 64 << 20,
        }
    }
}

/// One client's answer to an event.
#[derive(Clone, Debug)]
pub struct ClientAck {
    /// Who answered; unknown when a python-socketio server passed it on.
    pub client: Option<Sid>,
    /// What it answered.
    pub payload: Payload,
}

/// An answer that was not taken yet, and the room that it takes.
#[derive(Debug)]
struct Waiting {
    answer: ClientAck,
    _room: BytePermit,
}

/// The answers to an event, as they come in.
///
/// A stream that ends when the wanted number has come, when everybody who could answer has, or when the deadline passes; the latter is
/// told by [`timed_out`](Self::timed_out). Dropping it forgets the question.
#[derive(Debug)]
pub struct AckStream {
    incoming: mpsc::Receiver<Waiting>,
    deadline: Pin<Box<Sleep>>,
    left: usize,
    timed_out: bool,
    /// An error to yield first: the question could not be asked everywhere.
    failed: Option<Error>,
    _registration: Registration,
}

impl AckStream {
    /// Ends the stream after `count` answers.
    #[must_use]
    pub fn count(mut self, count: usize) -> Self {
        // Of nobody who can answer there is none to wait for, however many are wanted.
        self.left = self.left.min(count);
        self
    }

    /// Tells whether the stream ended because the deadline passed.
    pub fn timed_out(&self) -> bool {
        self.timed_out
    }

    /// Waits for the next answer; `None` when there will be no more.
    ///
    /// # Errors
    ///
    /// Once, and first, if the event could not be published: clients of other servers were not asked then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<ClientAck, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Waits for one answer and reads it into a type, as [`Payload::parse`] does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if nobody answered, [`ErrorKind::Malformed`] if the answer does not fit `T`, and any error of publishing.
    pub async fn one<T: DeserializeOwned>(mut self) -> Result<T, Error> {
        match self.next().await {
            Some(answer) => answer?.payload.parse(),
            None => Err(Error::new(ErrorKind::Timeout, "nobody answered the event in time")),
        }
    }

    /// Collects all answers until the stream ends.
    ///
    /// # Errors
    ///
    /// If the event could not be published.
    pub async fn all(mut self) -> Result<Vec<ClientAck>, Error> {
        let mut answers = Vec::new();
        while let Some(answer) = self.next().await {
            answers.push(answer?);
        }
        Ok(answers)
    }

    fn new(incoming: mpsc::Receiver<Waiting>, deadline: Instant, table: Arc<AckTable>, id: u64) -> Self {
        Self {
            incoming,
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            left: usize::MAX,
            timed_out: false,
            failed: None,
            _registration: Registration { table, id },
        }
    }

    /// Stores the failure to ask, to be yielded before any answer.
    pub fn fail(&mut self, error: Error) {
        self.failed = Some(error);
    }

    /// Takes the failure to ask.
    pub fn take_failure(&mut self) -> Option<Error> {
        self.failed.take()
    }

    /// Takes an answer that is there already, even after the deadline.
    pub fn next_waiting(&mut self) -> Option<ClientAck> {
        let left = self.left.checked_sub(1)?;
        let waiting = self.incoming.try_recv().ok()?;
        self.left = left;
        Some(waiting.answer)
    }

    /// Stops waiting: everybody who could answer has, or nobody can.
    pub fn no_more(&mut self) {
        self.left = 0;
    }
}

impl Stream for AckStream {
    type Item = Result<ClientAck, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if self.left == 0 || self.timed_out {
            return Poll::Ready(None);
        }
        if let Poll::Ready(waiting) = self.incoming.poll_recv(cx) {
            self.left = if waiting.is_some() { self.left - 1 } else { 0 };
            return Poll::Ready(waiting.map(|waiting| Ok(waiting.answer)));
        }
        ready!(self.deadline.as_mut().poll(cx));
        self.timed_out = true;
        Poll::Ready(None)
    }
}

/// Removes a question from the table when nobody waits for its answers any more.
#[derive(Debug)]
struct Registration {
    table: Arc<AckTable>,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.table.end(self.id);
    }
}
