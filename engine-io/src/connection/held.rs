//! What is held of incomplete messages: counted for each session, and for all of them together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::close::CloseReason;
use crate::connection::session::EngineSession;
use crate::error::ProtocolError;

/// Bytes up to which a holder counts for nothing, so that a short message that comes in two reads
/// costs no more than one that comes at once.
const UNCOUNTED: usize = 1024;

/// Bytes up to which a session is refused nothing at once, and shed last: a client with small messages goes on
/// although others hold much.
pub(crate) const SMALL: usize = 16 * 1024;

/// All clients together hold far more than they may, and this one is not small.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMuch;

impl EngineSession {
    /// Returns how many bytes are held of incomplete messages of the client.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Counts that a holder has `bytes` now, in the place of those that were `counted` for it.
    ///
    /// An error leaves them counted: the holder has to release them.
    pub(crate) fn count_held(self: &Arc<Self>, counted: &mut usize, bytes: usize) -> Result<(), TooMuch> {
        let bytes = if bytes > UNCOUNTED { bytes } else { 0 };
        if bytes == *counted {
            return Ok(());
        }
        let before = std::mem::replace(counted, bytes);
        let (held, total) = (&self.held, &self.core.inbound);
        if bytes < before {
            held.fetch_sub(before - bytes, Ordering::Relaxed);
            total.subtract(before - bytes);
            return Ok(());
        }
        let held = held.fetch_add(bytes - before, Ordering::Relaxed) + bytes - before;
        total.add(bytes - before);
        self.core.keep_inbound();
        if held > SMALL && total.is_far_over() {
            Err(TooMuch)
        } else {
            Ok(())
        }
    }

    /// Counts that a holder has released all that was `counted` for it.
    pub(crate) fn release_held(self: &Arc<Self>, counted: &mut usize) {
        // Fewer bytes are never too many.
        let _ = self.count_held(counted, 0);
    }
}

/// The bytes that one holder has of an incomplete message, counted until this is dropped.
///
/// [`Socket::hold`](crate::Socket::hold) makes it.
pub struct HeldBytes {
    /// The session of the client whose message it is.
    session: Arc<EngineSession>,
    /// The bytes that are counted.
    counted: usize,
}

impl HeldBytes {
    /// Creates a count of no bytes.
    pub(crate) fn new(session: &Arc<EngineSession>) -> Self {
        Self {
            session: session.clone(),
            counted: 0,
        }
    }

    /// Counts that so many bytes are held now, in the place of those before; up to 1 KiB count for
    /// nothing.
    ///
    /// # Errors
    /// All clients together hold far more than
    /// [`Config::inbound_total_limit`](crate::Config::inbound_total_limit), and this one over 16
    /// KiB: its connection was closed with [`CloseReason::Overflow`].
    pub fn set(&mut self, bytes: usize) -> Result<(), ProtocolError> {
        self.try_set(bytes).map_err(|TooMuch| {
            self.session.core.note_inbound_shed();
            self.session.fail(CloseReason::Overflow);
            ProtocolError::new("incomplete messages of all clients together are too much")
        })
    }

    /// Counts as [`set`](Self::set) does, and closes nothing.
    pub(crate) fn try_set(&mut self, bytes: usize) -> Result<(), TooMuch> {
        self.session.count_held(&mut self.counted, bytes)
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.session.release_held(&mut self.counted);
    }
}

impl fmt::Debug for HeldBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldBytes")
            .field("counted", &self.counted)
            .finish_non_exhaustive()
    }
}
