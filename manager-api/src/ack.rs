//! Acknowledgements of clients: the table of those expected, and the stream of those received.

mod by_client;
mod table;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

pub use table::{AckTable, FORGOTTEN_AT_ONCE, MissingAck};

use crate::byte_budget::BytePermit;
use crate::{Error, ErrorKind, Payload, Sid};

/// Key of a client within this process; unique for the lifetime of the process.
pub type ClientKey = u64;

/// Limits of an [`AckTable`].
#[derive(Clone, Copy, Debug)]
pub struct AckLimits {
    /// Acknowledgements that this process's clients may owe to other processes. Default 1,000,000.
    pub max_expected_acks: usize,
    /// Total bytes of acknowledgements for this process that are not read yet. Default 64 MiB.
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

/// One client's acknowledgement of an event.
#[derive(Clone, Debug)]
pub struct ClientAck {
    /// The client that acknowledged; `None` if a python-socketio server forwarded the acknowledgement.
    pub client: Option<Sid>,
    /// The arguments of the acknowledgement.
    pub payload: Payload,
}

/// An acknowledgement that was not read yet, with its share of the byte budget.
#[derive(Debug)]
struct UnreadAck {
    ack: ClientAck,
    _permit: BytePermit,
}

/// The acknowledgements of an event, in order of arrival.
///
/// The stream ends when the requested number has arrived, when every client that could acknowledge has done so, or when
/// the deadline passes; [`timed_out`](Self::timed_out) reports the latter. Dropping the stream stops waiting.
#[derive(Debug)]
pub struct AckStream {
    incoming: mpsc::Receiver<UnreadAck>,
    deadline: Pin<Box<Sleep>>,
    remaining: usize,
    timed_out: bool,
    /// An error to yield first: the event could not be published.
    failure: Option<Error>,
    _registration: Registration,
}

impl AckStream {
    /// Ends the stream after `count` acknowledgements.
    #[must_use]
    pub fn count(mut self, count: usize) -> Self {
        // A stream that has ended because no client can acknowledge stays ended.
        self.remaining = self.remaining.min(count);
        self
    }

    /// Returns whether the stream ended because the deadline passed.
    pub fn timed_out(&self) -> bool {
        self.timed_out
    }

    /// Waits for the next acknowledgement; `None` once the stream has ended.
    ///
    /// # Errors
    ///
    /// Once, and first, if the event could not be published: clients of other servers did not receive it then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<ClientAck, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Waits for one acknowledgement and reads it into a type, as [`Payload::parse`] does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if no client acknowledged, [`ErrorKind::Malformed`] if the acknowledgement does not fit
    /// `T`, and any error of publishing.
    pub async fn one<T: DeserializeOwned>(mut self) -> Result<T, Error> {
        match self.next().await {
            Some(ack) => ack?.payload.parse(),
            None => Err(Error::new(
                ErrorKind::Timeout,
                "no client acknowledged the event in time",
            )),
        }
    }

    /// Collects all acknowledgements until the stream ends.
    ///
    /// # Errors
    ///
    /// If the event could not be published.
    pub async fn all(mut self) -> Result<Vec<ClientAck>, Error> {
        let mut acks = Vec::new();
        while let Some(ack) = self.next().await {
            acks.push(ack?);
        }
        Ok(acks)
    }

    fn new(incoming: mpsc::Receiver<UnreadAck>, deadline: Instant, table: Arc<AckTable>, id: u64) -> Self {
        Self {
            incoming,
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            remaining: usize::MAX,
            timed_out: false,
            failure: None,
            _registration: Registration { table, id },
        }
    }

    /// Stores the failure to publish, which is yielded before any acknowledgement.
    pub fn fail(&mut self, error: Error) {
        self.failure = Some(error);
    }

    /// Takes the failure to publish.
    pub fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Takes an acknowledgement that has arrived already, even after the deadline.
    pub fn next_waiting(&mut self) -> Option<ClientAck> {
        let remaining = self.remaining.checked_sub(1)?;
        let unread = self.incoming.try_recv().ok()?;
        self.remaining = remaining;
        Some(unread.ack)
    }

    /// Ends the stream: no client is left that could acknowledge.
    pub fn no_more(&mut self) {
        self.remaining = 0;
    }
}

impl Stream for AckStream {
    type Item = Result<ClientAck, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if self.remaining == 0 || self.timed_out {
            return Poll::Ready(None);
        }
        if let Poll::Ready(unread) = self.incoming.poll_recv(cx) {
            self.remaining = if unread.is_some() { self.remaining - 1 } else { 0 };
            return Poll::Ready(unread.map(|unread| Ok(unread.ack)));
        }
        ready!(self.deadline.as_mut().poll(cx));
        self.timed_out = true;
        Poll::Ready(None)
    }
}

/// Guard that removes the entry of an event from the table when its stream is dropped.
#[derive(Debug)]
struct Registration {
    table: Arc<AckTable>,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.table.remove(self.id);
    }
}
