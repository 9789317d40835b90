//! The unsent bytes of a response: they count for the session whose packets they are.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};

use crate::budget::Charge;
use crate::close::CloseReason;
use crate::connection::driver::wake;
use crate::connection::polling::UnsentBody;
use crate::connection::session::EngineSession;
use crate::sent::SendError;

/// The bytes that the HTTP server is given at once: so much stays with a server that has stopped
/// writing, also after the session was closed.
pub(crate) const PIECE: usize = 64 * 1024;

/// Packets that left an outbox but did not reach their client: they count for the outbox until this
/// is dropped.
pub(crate) struct InFlight {
    /// The session whose packets they are.
    pub(crate) session: Arc<EngineSession>,
    /// Their cost in its outbox.
    pub(crate) cost: usize,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.session.state();
        self.session.written(&mut state, self.cost);
        // A POST may wait until less is queued.
        let post = state.polling.as_mut().and_then(|polling| polling.post_waker.take());
        drop(state);
        wake(post);
    }
}

/// The bytes of a response that the HTTP server has not asked for. The session releases them when
/// it closes.
struct Unsent {
    /// The packets count for the session while this exists.
    in_flight: InFlight,
    /// The bytes that are left.
    rest: Mutex<Rest>,
}

/// The bytes that are left, and their charge on the budget.
struct Rest {
    /// The bytes that the HTTP server has not asked for.
    segments: VecDeque<Bytes>,
    /// Counts those that are the response's own for the engine, until the last piece was written.
    charge: Option<Charge>,
    /// The session has released them.
    is_released: bool,
}

impl Unsent {
    /// Holds the bytes of a response for a session.
    fn new(in_flight: InFlight, segments: Vec<Bytes>, copied: usize) -> Arc<Self> {
        let core = &in_flight.session.core;
        let charge = core.budget.charge(copied);
        core.keep_budget();
        let is_long = segments.iter().map(Bytes::len).sum::<usize>() > PIECE;
        let unsent = Arc::new(Self {
            in_flight,
            rest: Mutex::new(Rest {
                segments: segments.into(),
                charge: Some(charge),
                is_released: false,
            }),
        });
        if is_long {
            unsent.watch();
        }
        unsent
    }

    /// Releases the bytes for the session. A response that was made at the very end of a shutdown
    /// is the last, and stays.
    fn watch(self: &Arc<Self>) {
        let mut state = self.in_flight.session.state();
        match (state.closed(), &mut state.polling) {
            (None, Some(polling)) => {
                let body: Weak<Self> = Arc::downgrade(self);
                polling.watch(body);
            }
            (Some(CloseReason::ServerShutdown), _) => {}
            _ => {
                drop(state);
                self.release();
            }
        }
    }

    /// Returns the next piece, or `None` after the last.
    fn next(self: &Arc<Self>) -> Result<Option<Bytes>, SendError> {
        let mut rest = self.rest();
        if rest.is_released {
            return Err(match self.in_flight.session.state().closed() {
                Some(CloseReason::Overflow) => SendError::Overflow,
                _ => SendError::Closed,
            });
        }
        let Some(segment) = rest.segments.front_mut() else {
            return Ok(None);
        };
        let bytes = match segment.len() > PIECE {
            // A copy, so that the HTTP server does not keep all of it for the sake of a piece.
            true => {
                let piece = Bytes::copy_from_slice(&segment[..PIECE]);
                segment.advance(PIECE);
                piece
            }
            false => std::mem::take(segment),
        };
        if segment.is_empty() {
            rest.segments.pop_front();
        }
        let charge = match rest.segments.is_empty() {
            true => rest.charge.take(),
            false => None,
        };
        drop(rest);
        Ok(Some(Bytes::from_owner(Piece {
            bytes,
            _charge: charge,
            _unsent: self.clone(),
        })))
    }

    /// Locks the bytes.
    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnsentBody for Unsent {
    fn release(&self) {
        let mut rest = self.rest();
        if !rest.segments.is_empty() {
            let released = (std::mem::take(&mut rest.segments), rest.charge.take());
            rest.is_released = true;
            drop(rest);
            drop(released);
        }
    }
}

/// A piece that the HTTP server has: the response counts for its session until the piece was
/// written.
struct Piece {
    /// The bytes of the piece.
    bytes: Bytes,
    /// Counts the whole response, with the last piece.
    _charge: Option<Charge>,
    /// Keeps the packets counted for their session.
    _unsent: Arc<Unsent>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body of a response that holds packets of a session.
pub(crate) struct PacketBody {
    /// The bytes, which the session can release.
    unsent: Arc<Unsent>,
    /// How many of them are left.
    left: usize,
    /// Other tasks get their turn before the next piece: a socket may take megabytes at once.
    yields: bool,
}

impl PacketBody {
    /// Creates the body of these bytes.
    pub(crate) fn new(in_flight: InFlight, segments: Vec<Bytes>, copied: usize) -> Self {
        Self {
            left: segments.iter().map(Bytes::len).sum(),
            unsent: Unsent::new(in_flight, segments, copied),
            yields: false,
        }
    }

    /// Returns how many bytes the HTTP server has not been given yet.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Returns the next piece; an error if the session has released it. It yields between pieces.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, SendError>>> {
        if std::mem::take(&mut self.yields) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = self.unsent.next();
        self.left = match &next {
            Ok(Some(piece)) => self.left - piece.len(),
            _ => 0,
        };
        self.yields = self.left > 0;
        Poll::Ready(next.transpose())
    }
}

impl fmt::Debug for PacketBody {
    // Payloads stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketBody").field("left", &self.left).finish()
    }
}
