//! The latest messages that were delivered, by which redelivered ones are recognised.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};

/// The identity of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Key {
    hash: u64,
    /// Whether its publisher gave it an id; then no other message has the same key.
    has_id: bool,
}

/// The latest messages that were delivered, as many as the broker may redeliver.
#[derive(Debug)]
pub(crate) struct Seen {
    keys: VecDeque<Key>,
    limit: usize,
    hasher: RandomState,
    /// Present while messages may be repeated.
    replay: Option<Replay>,
}

/// A sequence of redelivered messages in progress.
#[derive(Clone, Copy, Debug, Default)]
struct Replay {
    /// Where in `keys` the next redelivered message must be, once the first one was found.
    next: Option<usize>,
}

/// The judgement of a delivery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// A new message.
    New,
    /// Delivered before.
    Duplicate,
    /// Delivered before, or a new one with the same content: undecidable.
    Doubtful,
}

impl Seen {
    /// Remembers `limit` messages. It is the prefetch: the broker delivers no more than that ahead of
    /// acknowledgements, and so redelivers no more.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            keys: VecDeque::new(),
            limit: limit.max(1),
            hasher: RandomState::new(),
            replay: None,
        }
    }

    /// Returns the key of a message: of its id, or of its content without one.
    pub(crate) fn key(&self, id: Option<&str>, body: &[u8]) -> Key {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(id.map_or(body, str::as_bytes));
        Key {
            hash: hasher.finish(),
            has_id: id.is_some(),
        }
    }

    /// Expects redelivered messages, on a new connection to the same queue.
    pub(crate) fn begin_replay(&mut self) {
        self.replay = Some(Replay::default());
    }

    /// Forgets every message: the queue is a new one and redelivers none.
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.replay = None;
    }

    /// Judges a delivery.
    pub(crate) fn judge(&mut self, key: Key, is_redelivered: bool) -> Verdict {
        let Some(mut replay) = self.replay.take_if(|_| is_redelivered) else {
            // A message that was never delivered follows all that were.
            self.replay = None;
            return Verdict::New;
        };
        let Some(found) = self.find(key, replay.next) else {
            return Verdict::New;
        };
        let has_twin = !key.has_id && self.keys.range(found + 1..).any(|other| *other == key);
        let is_doubtful = replay.next.is_none() && has_twin;
        replay.next = Some(found + 1);
        self.replay = Some(replay);
        match is_doubtful {
            true => Verdict::Doubtful,
            false => Verdict::Duplicate,
        }
    }

    /// Records a message that was delivered.
    pub(crate) fn push(&mut self, key: Key) {
        if self.keys.len() == self.limit {
            self.keys.pop_front();
        }
        self.keys.push_back(key);
    }

    /// Finds the first index at or after `next` with `key`; that is `next` unless an earlier choice was wrong.
    fn find(&self, key: Key, next: Option<usize>) -> Option<usize> {
        let next = next.unwrap_or(0);
        let found = self
            .keys
            .range(next.min(self.keys.len())..)
            .position(|known| *known == key);
        found.map(|offset| next + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands over `seen`, reconnects, and judges what the broker repeats.
    fn judged(limit: usize, seen: &[&str], repeated: &[&str]) -> Vec<Verdict> {
        let mut all = Seen::new(limit);
        for message in seen {
            let key = key_of(&all, message);
            assert_eq!(all.judge(key, false), Verdict::New);
            all.push(key);
        }
        all.begin_replay();
        let mut verdicts = Vec::new();
        for message in repeated {
            let key = key_of(&all, message);
            let verdict = all.judge(key, true);
            if verdict == Verdict::New {
                all.push(key);
            }
            verdicts.push(verdict);
        }
        verdicts
    }

    /// `#1` has an id, `tick` has none.
    fn key_of(seen: &Seen, message: &str) -> Key {
        match message.starts_with('#') {
            true => seen.key(Some(message), b"the same body"),
            false => seen.key(None, message.as_bytes()),
        }
    }

    use Verdict::{Doubtful, Duplicate, New};

    #[test]
    fn an_end_piece_is_recognised_and_what_follows_is_new() {
        let seen = ["#1", "#2", "#3", "#4"];
        assert_eq!(
            judged(9, &seen, &["#3", "#4", "#5", "#6"]),
            [Duplicate, Duplicate, New, New]
        );
        assert_eq!(judged(9, &seen, &["#5", "#6"]), [New, New]);
        assert_eq!(judged(9, &seen, &["#1", "#2", "#3", "#4"]), [Duplicate; 4]);
        assert_eq!(
            judged(9, &["a", "b", "c"], &["b", "c", "a"]),
            [Duplicate, Duplicate, New]
        );
    }

    #[test]
    fn no_more_is_remembered_than_can_be_repeated() {
        let mut seen = Seen::new(2);
        for message in ["#1", "#2", "#3"] {
            let key = key_of(&seen, message);
            seen.push(key);
        }
        assert_eq!(seen.keys.len(), 2);
        assert_eq!(
            judged(2, &["#1", "#2", "#3"], &["#2", "#3", "#4"]),
            [Duplicate, Duplicate, New]
        );
    }

    #[test]
    fn equal_messages_without_ids_are_doubtful() {
        let verdicts = judged(9, &["tick", "tick", "tick"], &["tick", "tick", "tick", "tick"]);
        assert_eq!(verdicts, [Doubtful, Duplicate, Duplicate, New]);
        // The first choice proves wrong.
        let verdicts = judged(9, &["tick", "tock", "tick"], &["tick", "new"]);
        assert_eq!(verdicts, [Doubtful, New]);
    }

    #[test]
    fn what_was_never_delivered_ends_the_repetition() {
        let mut seen = Seen::new(9);
        let tick = seen.key(None, b"tick");
        seen.push(tick);
        seen.begin_replay();
        assert_eq!(seen.judge(tick, false), New);
        assert_eq!(seen.judge(tick, true), New);
    }

    #[test]
    fn a_second_loss_during_the_repetition_changes_nothing() {
        let mut seen = Seen::new(9);
        let keys: Vec<_> = ["#1", "#2", "#3"].map(|id| seen.key(Some(id), b"")).into();
        keys.iter().for_each(|key| seen.push(*key));
        for _ in 0..2 {
            seen.begin_replay();
            assert_eq!(seen.judge(keys[1], true), Duplicate);
        }
        assert_eq!(seen.judge(keys[2], true), Duplicate);
    }
}
