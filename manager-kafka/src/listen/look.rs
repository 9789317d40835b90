//! Looking for new partitions, and for a topic that is gone.

use std::sync::mpsc::{TryRecvError, sync_channel};

use manager_api::deadline;
use manager_api::subscription::{Measured, Unsubscribed};
use tokio::time::Instant;

use super::place::Seen;
use super::{KafkaListener, LOOK, SLICE, attempt};
use crate::status::Role;

impl<M: Measured> KafkaListener<M> {
    /// Handles new partitions, for which another thread looks from time to time, so that no message waits for it.
    pub(super) fn look_for_partitions(&mut self) -> Result<(), Unsubscribed> {
        let Some(look) = &self.look else {
            self.start_to_look();
            return Ok(());
        };
        let answer = look.try_recv();
        let seen = match answer {
            Err(TryRecvError::Empty) => return Ok(()),
            Err(TryRecvError::Disconnected) => Seen::Nothing,
            Ok(seen) => seen,
        };
        self.look = None;
        match seen {
            Seen::Nothing => Ok(()),
            Seen::Gone => self.resume(true, Some("the topic was gone")),
            Seen::Refused(refusal) => self.refused(refusal),
            Seen::Partitions(partitions) => self.see(&partitions),
        }
    }

    /// Reads new partitions as well.
    fn see(&mut self, partitions: &[i32]) -> Result<(), Unsubscribed> {
        self.place.status.up(Role::Listening);
        if self.is_log && partitions.len() > 1 {
            return self.gap("the topic has several partitions, of which a log reads the first one only".to_owned());
        }
        if !self.positions.add_new(partitions) {
            return Ok(());
        }
        match attempt(&self.place, SLICE, |_| self.place.assign(&self.positions)) {
            Ok(()) => Ok(()),
            Err(_) => self.resume(false, Some("new partitions could not be read at once")),
        }
    }

    /// Starts the thread that looks for partitions, if that is due.
    fn start_to_look(&mut self) {
        let now = Instant::now();
        if !self.place.status.common.is_up(Role::Listening) {
            // So that health reports soon that the brokers are back.
            self.next_look = self.next_look.min(deadline::from(now, SLICE));
        }
        if now < self.next_look {
            return;
        }
        self.next_look = deadline::from(now, self.place.connector.options.partition_refresh.max(LOOK));
        let (answer, look) = sync_channel(1);
        let place = self.place.clone();
        let limit = place.connector.request_timeout().max(LOOK);
        let thread = std::thread::Builder::new().name("sio-kafka-look".to_owned());
        // Without a thread the next interval tries again.
        if thread.spawn(move || answer.send(place.look(limit))).is_ok() {
            self.look = Some(look);
        }
    }
}
