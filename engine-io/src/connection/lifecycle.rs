//! The lifecycle of an engine session: open, closing, closed.

use crate::close::CloseReason;

/// How far an engine session is in its life; it only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    /// Packets travel in both directions.
    Open,
    /// Queued packets are flushed, until the deadline (in the engine's clock) at most.
    Closing { reason: CloseReason, deadline: u64 },
    /// Nothing is sent or received any more.
    Closed(CloseReason),
}

impl Lifecycle {
    /// Returns whether packets can be sent.
    pub(crate) fn is_open(self) -> bool {
        self == Self::Open
    }

    /// Returns the reason of a session that is closing.
    pub(crate) fn closing(self) -> Option<CloseReason> {
        match self {
            Self::Closing { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// Returns the reason of a session that is closed.
    pub(crate) fn closed(self) -> Option<CloseReason> {
        match self {
            Self::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    /// Begins to close an open session; returns false, and changes nothing, for any other.
    pub(crate) fn begin_closing(&mut self, reason: CloseReason, deadline: u64) -> bool {
        let is_open = self.is_open();
        if is_open {
            *self = Self::Closing { reason, deadline };
        }
        is_open
    }

    /// Replaces the deadline of a session that is closing; returns false for any other.
    pub(crate) fn set_deadline(&mut self, new: u64) -> bool {
        match self {
            Self::Closing { deadline, .. } => {
                *deadline = new;
                true
            }
            _ => false,
        }
    }

    /// Closes the session; returns false if it was closed before, whose reason stays.
    pub(crate) fn close(&mut self, reason: CloseReason) -> bool {
        let is_first = self.closed().is_none();
        if is_first {
            *self = Self::Closed(reason);
        }
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSING: Lifecycle = Lifecycle::Closing {
        reason: CloseReason::ServerShutdown,
        deadline: 7,
    };

    #[test]
    fn a_session_closes_in_two_steps() {
        let mut lifecycle = Lifecycle::Open;
        assert_eq!((lifecycle.closing(), lifecycle.closed()), (None, None));
        assert!(lifecycle.begin_closing(CloseReason::ServerShutdown, 7));
        assert_eq!(lifecycle, CLOSING);
        assert_eq!(lifecycle.closing(), Some(CloseReason::ServerShutdown));
        assert!(!lifecycle.is_open());
        assert!(lifecycle.close(CloseReason::ServerShutdown));
        assert_eq!(lifecycle.closed(), Some(CloseReason::ServerShutdown));
        assert_eq!(lifecycle.closing(), None);
    }

    #[test]
    fn the_first_reason_to_close_stays() {
        let mut lifecycle = Lifecycle::Open;
        assert!(lifecycle.close(CloseReason::PingTimeout));
        assert!(!lifecycle.close(CloseReason::ForcedClose));
        assert!(!lifecycle.begin_closing(CloseReason::ForcedClose, 7));
        assert_eq!(lifecycle, Lifecycle::Closed(CloseReason::PingTimeout));
    }

    #[test]
    fn only_a_closing_session_has_a_deadline() {
        let mut lifecycle = CLOSING;
        assert!(!lifecycle.begin_closing(CloseReason::ForcedClose, 9));
        assert_eq!(lifecycle, CLOSING);
        assert!(lifecycle.set_deadline(9));
        assert_ne!(lifecycle, CLOSING);
        for mut other in [Lifecycle::Open, Lifecycle::Closed(CloseReason::ForcedClose)] {
            assert!(!other.set_deadline(9));
        }
    }

    #[test]
    fn a_closing_session_can_fail_for_another_reason() {
        let mut lifecycle = CLOSING;
        assert!(lifecycle.close(CloseReason::TransportError));
        assert_eq!(lifecycle.closed(), Some(CloseReason::TransportError));
    }
}
