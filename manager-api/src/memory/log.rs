//! The log of a channel: the messages that the bus keeps, and the tasks that read them.
//!
//! A reader has a place in the log and no buffer of its own on the bus: however slow it is, it delays no publisher, and misses
//! only what was deleted before it came to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::counters::Counters;
use super::{MemoryBus, MemoryManager};
use crate::backend::closed;
use crate::replay::{Epoch, Placed, Position, Replay, Replayed, Start};
use crate::subscription::{SubscriptionSender, Unsubscribed};
use crate::{Error, Subscription};

/// The messages that a reader takes at once.
const BATCH: usize = 64;

/// How much of each channel a bus keeps: see [`MemoryBus::with_log`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MemoryLog {
    /// The longest time for which a message is kept, at least until the next one. Default 10 min.
    pub max_age: Duration,
    /// Bytes of the messages of a channel; beyond that the oldest are deleted. Default 64 MiB.
    pub max_bytes: usize,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(600),
            max_bytes: 64 << 20,
        }
    }
}

/// The messages of one channel, the oldest first.
#[derive(Debug)]
pub(super) struct Log {
    epoch: Epoch,
    /// The number of the oldest message that is kept; of the next one if none is.
    first: u64,
    kept: VecDeque<(Instant, Bytes)>,
    num_bytes: usize,
    /// The number of the next message, for readers that wait for it.
    next: watch::Sender<u64>,
}

impl Log {
    /// Creates an empty log.
    pub(super) fn new() -> Self {
        Self {
            epoch: Epoch::random(),
            first: 1,
            kept: VecDeque::new(),
            num_bytes: 0,
            next: watch::Sender::new(1),
        }
    }

    /// Keeps a message, and deletes those that are too many or too old.
    pub(super) fn append(&mut self, message: &Bytes, limits: &MemoryLog) {
        let now = Instant::now();
        self.kept.push_back((now, message.clone()));
        self.num_bytes += message.len();
        let is_over = |log: &Self| {
            let oldest = log.kept.front().map(|(at, _)| now - *at);
            log.num_bytes > limits.max_bytes || oldest.is_some_and(|age| age > limits.max_age)
        };
        while is_over(self)
            && let Some((_, oldest)) = self.kept.pop_front()
        {
            self.num_bytes -= oldest.len();
            self.first += 1;
        }
        self.next.send_modify(|next| *next += 1);
    }

    /// Counts the readers.
    pub(super) fn num_readers(&self) -> usize {
        self.next.receiver_count()
    }

    /// Returns the number of the first message to read, and whether some before it are not there.
    fn begin(&self, start: Start) -> (u64, bool) {
        let next = *self.next.borrow();
        match start {
            Start::Past(past) if past.is_zero() => (next, false),
            Start::Past(past) => {
                let now = Instant::now();
                let num_old = self.kept.partition_point(|(at, _)| now - *at > past);
                (self.first + num_old as u64, false)
            }
            Start::After(Position { epoch, offset }) => {
                let is_of_log = epoch == self.epoch && offset.minor == 0 && offset.major < next;
                let is_there = is_of_log && offset.major + 1 >= self.first;
                let from = if is_there { offset.major + 1 } else { self.first };
                (from, !is_there)
            }
        }
    }

    /// Returns the position of the last message, if it has the number `from` or a later one.
    fn last(&self, from: u64) -> Option<Position> {
        let last = *self.next.borrow() - 1;
        (last >= from).then(|| Position::new(self.epoch, last, 0))
    }

    /// Returns the messages from number `from` on, as many as are read at once.
    fn batch(&self, from: u64) -> Vec<Placed> {
        let at = usize::try_from(from - self.first).unwrap_or(usize::MAX);
        let numbered = (from..).zip(self.kept.iter().skip(at).take(BATCH));
        let placed = numbered.map(|(number, (_, message))| Placed {
            position: Position::new(self.epoch, number, 0),
            message: message.clone(),
        });
        placed.collect()
    }
}

/// One reader of a log, which is a task.
struct Reader {
    bus: MemoryBus,
    channel: String,
    from: u64,
    next: watch::Receiver<u64>,
    sender: SubscriptionSender<Placed>,
    counters: Arc<Counters>,
}

impl Reader {
    /// Reads until the subscription is dropped.
    async fn read(&mut self) -> Result<(), Unsubscribed> {
        loop {
            let from = self.from;
            tokio::select! {
                // The log lives as long as the bus does.
                _ = self.next.wait_for(|next| *next > from) => {}
                () = self.sender.closed() => return Err(Unsubscribed),
            }
            for placed in self.batch()? {
                self.from = placed.position.offset.major + 1;
                self.counters.received();
                self.sender.message(placed).await?;
            }
        }
    }

    /// Takes the next messages; reports a gap if the next one was deleted.
    fn batch(&mut self) -> Result<Vec<Placed>, Unsubscribed> {
        let state = self.bus.state();
        let Some(log) = state.logs.get(&self.channel) else {
            return Ok(Vec::new());
        };
        if self.from < log.first {
            self.from = log.first;
            self.counters.gap();
            self.sender.gap("the reader was slower than messages are deleted")?;
        }
        Ok(log.batch(self.from))
    }
}

#[async_trait]
impl Replay for MemoryManager {
    async fn read_from(&self, start: Start) -> Result<Replayed, Error> {
        self.check(0)?;
        self.up_for("read").await?;
        let (sender, messages) = Subscription::channel_of(self.options.max_buffered_bytes);
        let channel = self.options.channel.clone();
        let mut is_closed = self.is_closed.subscribe();
        let (mut reader, last, is_missing) = {
            let mut state = self.bus.state();
            let log = state.logs.entry(channel.clone()).or_insert_with(Log::new);
            let (from, is_missing) = log.begin(start);
            let reader = Reader {
                bus: self.bus.clone(),
                channel,
                from,
                next: log.next.subscribe(),
                sender,
                counters: self.counters.clone(),
            };
            (reader, log.last(from), is_missing)
        };
        if is_missing {
            self.counters.gap();
            reader
                .sender
                .gap("the position is not in the log")
                .map_err(|_| closed())?;
        }
        tokio::spawn(async move {
            tokio::select! {
                // Also when the manager is dropped.
                _ = is_closed.wait_for(|is_closed| *is_closed) => {}
                _ = reader.read() => {}
            }
        });
        Ok(Replayed::new(messages, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientManager, Incoming};

    fn placed(position: Position, message: &'static str) -> Incoming<Placed> {
        Incoming::Message(Placed {
            position,
            message: message.into(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_old_or_too_much_is_deleted_and_a_position_before_it_is_a_gap() {
        let limits = MemoryLog {
            max_age: Duration::from_secs(10),
            max_bytes: 5,
        };
        let bus = MemoryBus::with_log(limits);
        let manager = bus.manager("c");
        let log = manager.replay().unwrap();
        let mut all = log.read_from(Start::Past(Duration::MAX)).await.unwrap();
        assert_eq!(all.last, None, "nothing is past");
        let mut positions = Vec::new();
        for (message, seconds) in [("a", 6), ("b", 5), ("cd", 0), ("efg", 0)] {
            manager.publish(message.into()).await.unwrap();
            let Some(Incoming::Message(Placed { position, .. })) = all.messages.recv().await else {
                panic!("{message} did not come");
            };
            positions.push(position);
            tokio::time::advance(Duration::from_secs(seconds)).await;
        }
        // "a" was too old when "cd" came, and "b" too much with "efg".
        let mut old = log.read_from(Start::After(positions[0])).await.unwrap();
        assert!(matches!(old.messages.recv().await, Some(Incoming::Gap { .. })));
        assert_eq!(old.messages.recv().await, Some(placed(positions[2], "cd")));
        let mut at_edge = log.read_from(Start::After(positions[1])).await.unwrap();
        assert_eq!(at_edge.messages.recv().await, Some(placed(positions[2], "cd")));
        assert_eq!(at_edge.last, Some(positions[3]));
        assert_eq!(manager.health().num_gaps, 1);
    }

    #[tokio::test]
    async fn a_reader_that_is_slower_than_messages_are_deleted_has_a_gap_in_their_place() {
        let limits = MemoryLog {
            max_bytes: 10,
            ..MemoryLog::default()
        };
        let manager = MemoryBus::with_log(limits).manager_with(crate::ManagerOptions {
            max_buffered_bytes: 0,
            ..crate::ManagerOptions::default()
        });
        let mut reader = manager
            .replay()
            .unwrap()
            .read_from(Start::Past(Duration::ZERO))
            .await
            .unwrap();
        for number in 0..1000 {
            manager.publish(format!("{number:05}").into()).await.unwrap();
            tokio::task::yield_now().await;
        }
        let (mut expected, mut has_gap) = (0, false);
        while expected < 1000 {
            match reader.messages.recv().await.unwrap() {
                Incoming::Gap { .. } => has_gap = true,
                Incoming::Message(Placed { message, .. }) => {
                    let number: usize = std::str::from_utf8(&message).unwrap().parse().unwrap();
                    assert!(
                        number == expected || (has_gap && number > expected),
                        "{number} for {expected}"
                    );
                    (expected, has_gap) = (number + 1, false);
                }
            }
        }
        assert!(manager.health().num_gaps > 0, "the reader was slower");
    }

    #[tokio::test]
    async fn the_log_of_another_bus_is_another_log() {
        let [one, other] = [(); 2].map(|()| MemoryBus::with_log(MemoryLog::default()).manager("c"));
        for manager in [&one, &other] {
            manager.publish("a".into()).await.unwrap();
        }
        let last = one
            .replay()
            .unwrap()
            .read_from(Start::Past(Duration::MAX))
            .await
            .unwrap()
            .last;
        let after = Start::After(last.unwrap());
        let mut read = other.replay().unwrap().read_from(after).await.unwrap();
        assert!(matches!(read.messages.recv().await, Some(Incoming::Gap { .. })));
        assert!(matches!(read.messages.recv().await, Some(Incoming::Message(_))));
        assert!(MemoryBus::new().manager("c").replay().is_none(), "it keeps nothing");
    }
}
