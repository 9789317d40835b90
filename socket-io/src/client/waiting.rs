//! The rooms and packets of a client that is not accepted yet, which take effect with the acceptance.

use std::collections::HashMap;

use engine_io::Outgoing;
use hub::registry::RoomLimits;
use manager_api::{Error, ErrorKind, Room, Sid};

/// Rooms in the order in which they were entered, and packets in the order in which they were sent.
#[derive(Default)]
pub(super) struct Waiting {
    /// With a number that tells in which order they were entered.
    rooms: HashMap<Room, u64>,
    num_entered: u64,
    packets: Vec<Outgoing>,
    /// The cost of the packets in the outbox, which they would all go to at once.
    cost: usize,
}

impl Waiting {
    /// Keeps a packet, as long as all of them cost no more than `max_cost`.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) if they would.
    pub(super) fn push(&mut self, packet: Outgoing, max_cost: usize) -> Result<(), Error> {
        let cost = self.cost.saturating_add(packet.cost());
        if cost > max_cost {
            let text = "too much waits for the client to be accepted";
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        self.cost = cost;
        self.packets.push(packet);
        Ok(())
    }

    /// Enters a room; the client's own is entered with the acceptance anyway.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) if the limits do not allow it.
    pub(super) fn enter(&mut self, sid: &Sid, room: Room, limits: RoomLimits) -> Result<(), Error> {
        if self.rooms.contains_key(&room) || room.as_str() == sid.as_str() && !room.is_number() {
            return Ok(());
        }
        limits.check(sid, self.rooms.len(), &room)?;
        self.num_entered += 1;
        self.rooms.insert(room, self.num_entered);
        Ok(())
    }

    /// Leaves a room.
    pub(super) fn leave(&mut self, room: &Room) {
        self.rooms.remove(room);
    }

    /// Returns the rooms and packets, each in their order.
    pub(super) fn into_parts(self) -> (Vec<Room>, Vec<Outgoing>) {
        let mut rooms: Vec<_> = self.rooms.into_iter().collect();
        rooms.sort_unstable_by_key(|(_, number)| *number);
        (rooms.into_iter().map(|(room, _)| room).collect(), self.packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RoomLimits = RoomLimits {
        max_rooms: 2,
        max_name_bytes: 8,
    };

    #[test]
    fn rooms_are_entered_in_the_order_of_joining_and_none_twice() {
        let (mut waiting, sid) = (Waiting::default(), Sid::from("me"));
        for room in ["b", "a", "b", "me"] {
            waiting.enter(&sid, room.into(), LIMITS).unwrap();
        }
        let names: Vec<Room> = waiting.into_parts().0;
        assert_eq!(names, [Room::from("b"), Room::from("a")]);
    }

    #[test]
    fn a_client_that_is_not_accepted_yet_has_the_limits_of_one_that_is() {
        let (mut waiting, sid) = (Waiting::default(), Sid::from("me"));
        waiting.enter(&sid, "a".into(), LIMITS).unwrap();
        let too_long = waiting.enter(&sid, "123456789".into(), LIMITS).unwrap_err();
        waiting.enter(&sid, "b".into(), LIMITS).unwrap();
        let too_many = waiting.enter(&sid, "c".into(), LIMITS).unwrap_err();
        assert_eq!([too_long.kind(), too_many.kind()], [ErrorKind::TooLarge; 2]);
        waiting.leave(&"a".into());
        waiting.enter(&sid, "c".into(), LIMITS).unwrap();
        assert_eq!(waiting.into_parts().0, [Room::from("b"), Room::from("c")]);
    }

    #[test]
    fn packets_wait_in_order_up_to_a_cost() {
        let (packet, mut waiting) = (Outgoing::text("one"), Waiting::default());
        let max_cost = 2 * packet.cost();
        waiting.push(packet, max_cost).unwrap();
        waiting.push(Outgoing::text("two"), max_cost).unwrap();
        let error = waiting.push(Outgoing::text("six"), max_cost).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert_eq!(waiting.into_parts().1.len(), 2);
    }
}
