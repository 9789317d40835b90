//! The log of a channel: the topic, if it has one partition.
//!
//! A position is the offset of a message and its time. Kafka keeps no mark of a topic that a client of ours could read, by which
//! one that was made anew could be told from the old one: so the message at the offset is read, and compared by its time.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use manager_api::Error;
use manager_api::backend::closed;
use manager_api::replay::{Epoch, Placed, Position, Replay, Replayed, Start};

use crate::KafkaManager;
use crate::listen::{self, Beginning, Mark};

#[async_trait]
impl Replay for KafkaManager {
    async fn read_from(&self, start: Start) -> Result<Replayed, Error> {
        let beginning = beginning(self.connector.topic(), start, SystemTime::now());
        let epoch = epoch_of(self.connector.topic());
        let make = move |mark: Mark, message| Placed {
            position: position(epoch, mark),
            message,
        };
        let mut is_closed = self.listeners.closing()?;
        let reading = listen::subscribe(
            self.connector.clone(),
            self.status.clone(),
            is_closed.clone(),
            beginning,
            Box::new(make),
        );
        let (messages, end) = tokio::select! {
            reading = reading => reading?,
            _ = is_closed.wait_for(|is_closed| *is_closed) => return Err(closed()),
        };
        let last = end.map(|end| {
            position(
                epoch,
                Mark {
                    offset: end - 1,
                    timestamp: 0,
                },
            )
        });
        Ok(Replayed::new(messages, last))
    }
}

/// Returns where to begin in the topic.
fn beginning(topic: &str, start: Start, now: SystemTime) -> Beginning {
    match start {
        Start::Past(past) if !past.is_zero() => {
            let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let since = now.saturating_sub(past).max(Duration::from_millis(1));
            Beginning::Since(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        }
        Start::After(Position { epoch, offset }) => match (i64::try_from(offset.major), i64::try_from(offset.minor)) {
            (Ok(offset), Ok(timestamp)) if epoch == epoch_of(topic) => Beginning::Behind(Mark { offset, timestamp }),
            _ => Beginning::Elsewhere,
        },
        _ => Beginning::Now,
    }
}

/// Returns the position of a message. Numbers that Kafka never gives out count as zero.
fn position(epoch: Epoch, mark: Mark) -> Position {
    let [major, minor] = [mark.offset, mark.timestamp].map(|number| u64::try_from(number).unwrap_or_default());
    Position::new(epoch, major, minor)
}

/// Returns the epoch of every topic of a name, by the hash FNV-1a: what differs between two of them is the time of a message.
fn epoch_of(topic: &str) -> Epoch {
    let hash = topic.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Epoch(hash >> 16)
}
