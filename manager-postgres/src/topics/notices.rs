//! The queue between the task of a connection, which must go on reading, and a subscription.
//!
//! The task may not wait: behind the notifications that the server has sent is the answer that the subscription may be
//! waiting for. Nor may it leave them on the server, whose queue all databases share. So the queue has a limit, beyond
//! which notifications are dropped and counted, up to the moment at which the subscriber has taken what is in it: a gap is
//! in the place of what is missing, and nowhere else.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use manager_api::lock::Unpoisoned;

/// What a notification takes beside its text, about.
const COST: usize = 64;

/// Notifications that were received and not delivered.
#[derive(Debug)]
pub(super) struct Notices {
    /// What the task adds and the subscription takes.
    state: Mutex<State>,
    /// The bytes that are kept at most.
    max_bytes: usize,
}

/// The contents of the queue.
#[derive(Debug, Default)]
struct State {
    /// Topics and texts, the oldest first.
    waiting: VecDeque<(Bytes, Bytes)>,
    /// What they count for.
    num_bytes: usize,
    /// What did not fit. Nothing is added until the gap was told.
    num_dropped: u64,
}

/// What a subscription is told next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// A notification: its topic and its text.
    Received(Bytes, Bytes),
    /// So many were dropped here.
    Dropped(u64),
}

impl Notices {
    /// Creates an empty queue of so many bytes.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            state: Mutex::default(),
            max_bytes,
        }
    }

    /// Adds a notification, or drops it if there is no room for it.
    pub(super) fn push(&self, topic: &str, text: &str) {
        let mut state = self.state.lock().unpoisoned();
        let cost = topic.len() + text.len() + COST;
        let is_full = state.num_bytes + cost > self.max_bytes && !state.waiting.is_empty();
        if is_full || state.num_dropped > 0 {
            state.num_dropped += 1;
            return;
        }
        state.num_bytes += cost;
        let copy = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        state.waiting.push_back((copy(topic), copy(text)));
    }

    /// Takes what is next.
    pub(super) fn pop(&self) -> Option<Notice> {
        let mut state = self.state.lock().unpoisoned();
        if let Some((topic, text)) = state.waiting.pop_front() {
            state.num_bytes -= topic.len() + text.len() + COST;
            return Some(Notice::Received(topic, text));
        }
        let num_dropped = std::mem::take(&mut state.num_dropped);
        (num_dropped > 0).then_some(Notice::Dropped(num_dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_dropped_up_to_a_gap_behind_what_did() {
        let notices = Notices::new(2 * (COST + 2));
        let received = |text: &'static str| Some(Notice::Received(Bytes::from_static(b"t"), text.into()));
        for text in ["1", "2", "3", "4"] {
            notices.push("t", text);
        }
        assert_eq!(notices.pop(), received("1"));
        // There is room again, but it would hide the gap.
        notices.push("t", "5");
        assert_eq!(notices.pop(), received("2"));
        assert_eq!(notices.pop(), Some(Notice::Dropped(3)));
        notices.push("t", "6");
        assert_eq!((notices.pop(), notices.pop()), (received("6"), None));
    }

    #[test]
    fn one_that_is_longer_than_the_limit_is_kept_alone() {
        let notices = Notices::new(1);
        notices.push("t", "long");
        notices.push("t", "x");
        assert!(matches!(notices.pop(), Some(Notice::Received(..))));
        assert_eq!((notices.pop(), notices.pop()), (Some(Notice::Dropped(1)), None));
    }
}
