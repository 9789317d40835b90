//! One subscription, as the bus holds it.

use std::sync::Arc;

use bytes::Bytes;

use super::counters::Counters;
use crate::subscription::{Measured, SubscriptionSender};

/// The sending end of a subscription of a manager.
#[derive(Debug)]
pub(super) struct Subscriber<M = Bytes> {
    pub(super) manager: u64,
    sender: SubscriptionSender<M>,
    /// Whether the latest message was missed: consecutive missed messages are reported as one gap.
    is_behind: bool,
    counters: Arc<Counters>,
}

impl<M: Measured> Subscriber<M> {
    pub(super) fn new(manager: u64, sender: SubscriptionSender<M>, counters: Arc<Counters>) -> Self {
        Self {
            manager,
            sender,
            is_behind: false,
            counters,
        }
    }

    /// Returns whether the subscription was dropped.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Queues `message`, or a gap if it exceeds the limit; false once the subscription was dropped.
    pub(super) fn offer(&mut self, message: M) -> bool {
        match self.sender.try_message(message) {
            Ok(true) => {
                self.is_behind = false;
                self.counters.received();
                true
            }
            Ok(false) if self.is_behind => true,
            Ok(false) => {
                self.is_behind = true;
                self.report_gap("the subscriber fell behind");
                true
            }
            Err(_) => false,
        }
    }

    /// Queues a gap.
    pub(super) fn report_gap(&mut self, reason: &str) {
        self.counters.gap();
        // A subscriber that was dropped meanwhile is removed with the next message.
        let _ = self.sender.gap(reason);
    }
}
