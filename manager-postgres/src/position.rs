//! The position of a listener: which transactions it has read.
//!
//! A transaction's number says nothing about when it commits: one that began early may commit an hour later than one
//! with a higher number. So the position is the highest transaction that was read, and those below it that were in
//! progress then. Each read continues with what is above, and with these.
//!
//! # Example
//!
//! | what happens | a listener reads | its position then |
//! |---|---|---|
//! | 10 and 11 write, 11 commits | the messages of 11 | highest 11, pending 10 |
//! | 12 rolls back, 13 commits | those of 13 | highest 13, pending 10 |
//! | 10 commits | those of 10 | highest 13 |
//!
//! # Order
//!
//! The messages of one read are in the order of their transactions, and within one in that in which they were written.
//! A publisher begins a transaction after the previous one was committed: the later one has the higher number, and a
//! snapshot that sees it sees the earlier one as well. So messages of one publisher keep their order, within a read and
//! across reads.
//!
//! # Crashes
//!
//! A server that crashed assigns numbers again that no record on its disk mentions: those of transactions that were
//! rolled back or in progress. All that a listener has read was committed, so its records, and those of all lower
//! numbers, were on the disk. The position therefore ends at the highest transaction that was *read*, not at the end of
//! the snapshot: numbers above may be assigned again, and are read then.

use std::str::FromStr;

/// A snapshot as PostgreSQL writes it: `xmin:xmax:in,progress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The first transaction that had not ended, nor any after it.
    xmax: u64,
    /// Transactions below `xmax` that had not ended.
    in_progress: Vec<u64>,
}

impl FromStr for Snapshot {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, ':').skip(1);
        let (xmax, list) = (parts.next().ok_or(())?, parts.next().ok_or(())?);
        let list = list.split(',').filter(|xid| !xid.is_empty());
        Ok(Self {
            xmax: xmax.parse().map_err(|_| ())?,
            in_progress: list.map(|xid| xid.parse().map_err(|_| ())).collect::<Result<_, _>>()?,
        })
    }
}

/// The place of a message in the order of reading: its transaction, and its number in there.
pub(crate) type Place = (u64, i64);

/// What a listener has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Of the transactions above, none was read.
    highest: u64,
    /// Transactions up to the highest that may still have unread messages.
    pending: Vec<u64>,
    /// The last message that was read of each pending transaction of which some were. There are several where one that
    /// comes first in the order has committed before the rest of another one was read.
    partial: Vec<Place>,
    /// The latest deleted transaction of which the subscriber was told.
    told_deleted: u64,
}

impl Position {
    /// Begins in a transaction `own`, in which the snapshot was taken: what was committed before is not read, what
    /// commits later is.
    ///
    /// A transaction above `own` began in the meantime. Its number is not counted as read, because a crash of the server
    /// could assign it a second time; `own` is on the server's disk.
    pub(crate) fn begin(own: u64, snapshot: &Snapshot) -> Self {
        let highest = own.min(snapshot.xmax.saturating_sub(1));
        Self {
            highest,
            pending: up_to(highest, &snapshot.in_progress),
            partial: Vec::new(),
            told_deleted: 0,
        }
    }

    /// Returns the highest transaction that was read.
    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    /// Returns the transactions below it that are to be read as well.
    pub(crate) fn pending(&self) -> &[u64] {
        &self.pending
    }

    /// Returns the places behind which transactions that were read in part continue.
    pub(crate) fn partial(&self) -> &[Place] {
        &self.partial
    }

    /// Returns whether a message of the transaction `deleted` was deleted unread, or one of `num_pending` transactions
    /// that had not been read; true once for each.
    pub(crate) fn is_missing(&mut self, deleted: u64, num_pending: i32) -> bool {
        let is_missing = deleted > self.highest.max(self.told_deleted) || num_pending > 0;
        self.told_deleted = self.told_deleted.max(deleted);
        is_missing
    }

    /// Moves behind messages that were read in `snapshot`: up to the place of the `last`, if there was any. More may
    /// follow it if `is_cut`.
    pub(crate) fn advance(&mut self, snapshot: &Snapshot, last: Option<Place>, is_cut: bool) {
        let (xid, id) = last.unwrap_or_default();
        self.highest = self.highest.max(xid);
        let mut pending = up_to(self.highest, &snapshot.in_progress);
        if is_cut {
            pending.extend(self.pending.iter().copied().filter(|pending| *pending > xid));
            pending.push(xid);
            pending.sort_unstable();
            pending.dedup();
            self.partial.retain(|place| place.0 > xid);
            self.partial.push((xid, id));
        } else {
            self.partial.clear();
        }
        self.pending = pending;
    }
}

/// Returns those of the transactions that are not above the highest one that was read.
fn up_to(highest: u64, transactions: &[u64]) -> Vec<u64> {
    transactions.iter().copied().filter(|xid| *xid <= highest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_read_and_nothing_else() {
        let snapshot: Snapshot = "10:20:10,14".parse().unwrap();
        assert_eq!((snapshot.xmax, snapshot.in_progress), (20, vec![10, 14]));
        assert!("5:5:".parse::<Snapshot>().unwrap().in_progress.is_empty());
        for bad in ["", "1", "1:2", "1:x:", "1:2:x", "1:2:3,,x"] {
            assert!(bad.parse::<Snapshot>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_deleted_unread_is_told_once() {
        let mut position = Position::begin(10, &"11:11:".parse().unwrap());
        assert!(!position.is_missing(10, 0));
        assert!(position.is_missing(12, 0) && !position.is_missing(12, 0));
        assert!(position.is_missing(12, 1) && position.is_missing(13, 0));
    }

    /// A server in miniature: transactions with messages that begin, commit and roll back in any order.
    #[derive(Default)]
    struct Server {
        next: u64,
        next_id: i64,
        running: Vec<(u64, Vec<i64>)>,
        committed: Vec<Place>,
    }

    impl Server {
        fn begin(&mut self, num_messages: usize) -> u64 {
            self.next += 1;
            let ids: Vec<_> = (0..num_messages).map(|_| self.draw()).collect();
            self.running.push((self.next, ids));
            self.next
        }

        fn draw(&mut self) -> i64 {
            self.next_id += 1;
            self.next_id
        }

        fn end(&mut self, number: usize, commits: bool) -> Vec<Place> {
            let (xid, ids) = self.running.remove(number);
            let places: Vec<_> = ids.into_iter().map(|id| (xid, id)).collect();
            if commits {
                self.committed.extend(&places);
            }
            if commits { places } else { Vec::new() }
        }

        /// As PostgreSQL takes it: `xmax` is behind the latest transaction that has ended, running ones below are listed.
        fn snapshot(&self) -> Snapshot {
            let is_running = |xid: &u64| self.running.iter().any(|(running, _)| running == xid);
            let latest = (1..=self.next).rev().find(|xid| !is_running(xid)).unwrap_or_default();
            Snapshot {
                xmax: latest + 1,
                in_progress: (1..=latest).filter(is_running).collect(),
            }
        }

        /// What the statement of the listener returns.
        fn read(&self, position: &Position, limit: usize) -> Vec<Place> {
            let is_unread = |place: &&Place| {
                let is_new = place.0 > position.highest() || position.pending().contains(&place.0);
                let is_read = |partial: &Place| partial.0 == place.0 && partial.1 >= place.1;
                is_new && !position.partial().iter().any(is_read)
            };
            let mut places: Vec<_> = self.committed.iter().filter(is_unread).copied().collect();
            places.sort_unstable();
            places.truncate(limit);
            places
        }
    }

    #[test]
    fn every_commit_is_read_once_however_transactions_overlap_and_reads_are_cut() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut server = Server::default();
            for _ in 0..random.usize(0..5) {
                let num_messages = random.usize(0..4);
                server.begin(num_messages);
            }
            // Those that have ended before the listener begins are not read, those that run are.
            if !server.running.is_empty() {
                let number = random.usize(0..server.running.len());
                server.end(number, true);
            }
            let own = server.begin(0);
            let mut position = Position::begin(own, &server.snapshot());
            server.end(server.running.len() - 1, true);
            let (mut expected, mut read) = (Vec::new(), Vec::new());
            for step in 0..400 {
                match random.u8(0..10) {
                    _ if step > 380 && server.running.is_empty() => {}
                    0..3 if step <= 380 => {
                        let num_messages = random.usize(0..5);
                        server.begin(num_messages);
                    }
                    0..6 if !server.running.is_empty() => {
                        let number = random.usize(0..server.running.len());
                        expected.extend(server.end(number, random.u8(0..4) > 0));
                    }
                    _ => {}
                }
                if random.bool() || step > 380 {
                    let limit = random.usize(1..5);
                    let places = server.read(&position, limit);
                    position.advance(&server.snapshot(), places.last().copied(), places.len() == limit);
                    read.extend(places);
                }
            }
            while let places @ [_, ..] = &server.read(&position, 3)[..] {
                position.advance(&server.snapshot(), places.last().copied(), places.len() == 3);
                read.extend(places);
            }
            read.sort_unstable();
            expected.sort_unstable();
            // Some may still run; what they wrote is not expected.
            assert_eq!(read, expected, "seed {seed}");
        }
    }
}
