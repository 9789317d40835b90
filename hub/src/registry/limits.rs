//! Limits of the rooms of a client.

use manager_api::{Error, ErrorKind, Room, Sid};

/// Limits of a client's rooms. The one named by its own id does not count.
#[derive(Clone, Copy, Debug)]
pub struct RoomLimits {
    /// Rooms of one client. Default 10,000.
    pub max_rooms: usize,
    /// Bytes of the name of one room. Default 1,024.
    pub max_name_bytes: usize,
}

impl Default for RoomLimits {
    fn default() -> Self {
        Self {
            max_rooms: 10_000,
            max_name_bytes: 1_024,
        }
    }
}

impl RoomLimits {
    /// Checks whether a client that is in `num_rooms` rooms may enter another one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] if not.
    pub fn check(&self, sid: &Sid, num_rooms: usize, room: &Room) -> Result<(), Error> {
        if room.as_str().len() > self.max_name_bytes {
            let (len, max) = (room.as_str().len(), self.max_name_bytes);
            let text = format!(
                "client {sid} cannot enter a room whose name has {len} bytes: the limit max_room_name_bytes is {max}"
            );
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        if num_rooms >= self.max_rooms {
            let text = format!("client {sid} is in {num_rooms} rooms, which is the limit max_rooms_per_client");
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        Ok(())
    }
}
