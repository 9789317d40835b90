//! The position of a subscription in a stream, and whether entries behind it are missing.

/// The id of an entry: a time in milliseconds, and a number.
pub(crate) type Id = (u64, u64);

/// The last entry that was read. Default: none, and each that is there is new.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Position {
    pub(super) last: Id,
    /// The number of entries that were ever added up to it, as far as that is known.
    pub(super) num_added: Option<u64>,
}

/// What the server knows of a stream.
#[derive(Debug, Default)]
pub(super) struct Info {
    /// The number of entries.
    pub(super) len: u64,
    /// The id of the entry that was added last, even if it is gone.
    pub(super) last: Id,
    /// The id of the oldest entry; `None` if the stream is empty.
    pub(super) first: Option<Id>,
    /// The id of the newest entry; `None` if the stream is empty.
    pub(super) last_entry: Option<Id>,
    /// Since Redis 7.
    pub(super) num_added: Option<u64>,
}

impl Position {
    /// Returns the end of a stream; the beginning if there is none.
    pub(super) fn of(info: Option<&Info>) -> Self {
        let Some(info) = info else {
            return Self {
                last: Id::default(),
                num_added: Some(0),
            };
        };
        Self {
            last: info.last,
            num_added: info.num_added,
        }
    }

    /// Returns what is not in the stream any more although it was not read; `None` if that is nothing.
    pub(super) fn is_missing(self, info: Option<&Info>) -> Option<&'static str> {
        let Some(info) = info else {
            return (self.last != Id::default()).then_some("the stream was deleted: entries");
        };
        if info.last < self.last {
            return Some("the stream has lost entries that were read, or is another one: entries");
        }
        // Nothing follows it, or it is still there.
        if info.last == self.last || info.first.is_some_and(|first| first <= self.last) {
            return None;
        }
        // The last entry that was read is gone. Nothing else is if all up to it were removed, and no other.
        let num_removed = num_removed(Some(info));
        match num_removed.is_some() && num_removed == self.num_added {
            true => None,
            false => Some("the stream was trimmed: entries"),
        }
    }
}

/// Returns the number of entries that were removed from the beginning of a stream, where the server counts them. None was
/// removed from one that does not exist.
pub(super) fn num_removed(info: Option<&Info>) -> Option<u64> {
    let Some(info) = info else { return Some(0) };
    info.num_added.map(|num_added| num_added.saturating_sub(info.len))
}

/// Reads the id of an entry.
pub(crate) fn id_of(text: &[u8]) -> Option<Id> {
    let (time, number) = std::str::from_utf8(text).ok()?.split_once('-')?;
    Some((time.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_trimmed_unread_is_a_gap() {
        let info = |len, first: Option<u64>, num_added| Info {
            len,
            last: (100, 0),
            first: first.map(|time| (time, 0)),
            last_entry: first.map(|_| (100, 0)),
            num_added,
        };
        let at = |last, num_added| Position {
            last: (last, 0),
            num_added,
        };
        for (position, info, is_gap) in [
            (at(5, Some(5)), Some(info(10, Some(5), Some(14))), false),
            (at(5, Some(5)), Some(info(10, Some(1), None)), false),
            (at(5, Some(5)), Some(info(10, Some(6), Some(15))), false),
            (at(5, Some(5)), Some(info(10, Some(7), Some(16))), true),
            // Another stream of the same name.
            (at(5, Some(5)), Some(info(1, Some(7), Some(1))), true),
            (at(5, Some(5)), Some(info(0, None, Some(5))), false),
            (at(5, Some(5)), Some(info(0, None, Some(6))), true),
            (at(5, None), Some(info(10, Some(6), Some(15))), true),
            (at(5, Some(5)), Some(info(10, Some(6), None)), true),
            (at(5, Some(5)), None, true),
            // The last one that was read is the last that there was.
            (at(100, None), Some(info(0, None, None)), false),
            // A replica that had not received it has become the master.
            (at(101, Some(5)), Some(info(10, Some(1), Some(10))), true),
            (at(0, Some(0)), None, false),
            (at(0, Some(0)), Some(info(3, Some(1), Some(3))), false),
        ] {
            let missing = position.is_missing(info.as_ref());
            assert_eq!(missing.is_some(), is_gap, "{position:?} {info:?}");
        }
    }
}
