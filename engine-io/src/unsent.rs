//! What an answer to a poll holds: it counts for its session until the client took it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};

use crate::budget::Charge;
use crate::shared::{Shared, wake};
use crate::{CloseReason, SendError};

/// What a host is given at once, in bytes: so much stays with one that has stopped writing, whatever becomes of the session.
const PIECE: usize = 64 * 1024;

/// Packets that left an outbox but did not reach their client: they count for the outbox until this is dropped.
pub(crate) struct InFlight {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cost: usize,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        self.shared.written(&mut state, self.cost);
        // A POST may wait until less is queued.
        let post = state.polling.as_mut().and_then(|polling| polling.post_waker.take());
        drop(state);
        wake(post);
    }
}

/// The bytes of an answer that its host did not ask for yet. The session takes them back when it ends.
pub(crate) struct UnsentBody {
    in_flight: InFlight,
    rest: Mutex<Rest>,
}

struct Rest {
    bytes: Bytes,
    charge: Option<Charge>,
    is_released: bool,
}

impl UnsentBody {
    /// Holds the bytes of an answer for a session.
    pub(crate) fn new(in_flight: InFlight, bytes: Bytes) -> Arc<Self> {
        let engine = &in_flight.shared.engine;
        let charge = engine.budget.charge(bytes.len());
        engine.keep_budget();
        let is_long = bytes.len() > PIECE;
        let held = Arc::new(Self {
            in_flight,
            rest: Mutex::new(Rest {
                bytes,
                charge: Some(charge),
                is_released: false,
            }),
        });
        if is_long {
            held.watch();
        }
        held
    }

    /// Lets the session release the bytes. An answer that was made at the very end of a shutdown is the last, and stays.
    fn watch(self: &Arc<Self>) {
        let mut state = self.in_flight.shared.state();
        match (state.closed(), &mut state.polling) {
            (None, Some(polling)) => {
                polling.answers.retain(|answer| answer.strong_count() > 0);
                polling.answers.push(Arc::downgrade(self));
            }
            (Some(CloseReason::ServerShutdown), _) => {}
            _ => {
                drop(state);
                self.release();
            }
        }
    }

    /// Gives up what is left; the host gets an error for it.
    pub(crate) fn release(&self) {
        let mut rest = self.rest();
        if rest.bytes.has_remaining() {
            let released = (std::mem::take(&mut rest.bytes), rest.charge.take());
            rest.is_released = true;
            drop(rest);
            drop(released);
        }
    }

    /// Returns the next piece, or `None` after the last.
    fn next(self: &Arc<Self>) -> Result<Option<Bytes>, SendError> {
        let mut rest = self.rest();
        if rest.is_released {
            return Err(match self.in_flight.shared.state().closed() {
                Some(CloseReason::Overflow) => SendError::Overflow,
                _ => SendError::Closed,
            });
        }
        let (bytes, charge) = match rest.bytes.len() {
            0 => return Ok(None),
            // A copy, so that the host does not keep all of it for the sake of a piece.
            length if length > PIECE => {
                let piece = Bytes::copy_from_slice(&rest.bytes[..PIECE]);
                rest.bytes.advance(PIECE);
                (piece, None)
            }
            _ => (std::mem::take(&mut rest.bytes), rest.charge.take()),
        };
        drop(rest);
        Ok(Some(Bytes::from_owner(Piece {
            bytes,
            _charge: charge,
            _held: self.clone(),
        })))
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A piece that the host has: the answer is held until it was written.
struct Piece {
    bytes: Bytes,
    _charge: Option<Charge>,
    _held: Arc<UnsentBody>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body of an answer that is held.
pub(crate) struct PacketBody {
    held: Arc<UnsentBody>,
    left: usize,
}

impl PacketBody {
    pub(crate) fn new(in_flight: InFlight, bytes: Bytes) -> Self {
        Self {
            left: bytes.len(),
            held: UnsentBody::new(in_flight, bytes),
        }
    }

    /// Returns how many bytes its host has not been given yet.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn next(&mut self) -> Option<Result<Bytes, SendError>> {
        let next = self.held.next();
        self.left = match &next {
            Ok(Some(piece)) => self.left - piece.len(),
            _ => 0,
        };
        next.transpose()
    }
}

impl fmt::Debug for PacketBody {
    // Payloads stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketBody").field("left", &self.left).finish()
    }
}
