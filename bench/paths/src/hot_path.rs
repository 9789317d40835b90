//! The hot paths by name, and their common interface.

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::frames::Frames;
use crate::room::Room;
use crate::wire::{Decode, Encode};

/// A path whose cost every event or message pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HotPath {
    /// A message of the broker is decoded
    WireDecode,
    /// A message for the broker is encoded
    WireEncode,
    /// An event is emitted to a room of 1,000 clients, to the frames that they read
    EmitToRoom,
    /// An event of a client is received and acknowledged
    EventAck,
    /// Frames of a client are read, unmasked and handed out: 100 of 100 bytes and one of 16 KiB
    FrameParse,
}

/// One operation of a path, with all that it needs made before.
pub trait Operation {
    /// Does it once.
    ///
    /// # Errors
    ///
    /// If its outcome is not the expected one.
    fn run(&mut self) -> Result<()>;
}

impl HotPath {
    /// Returns the name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::WireDecode => "wire-decode",
            Self::WireEncode => "wire-encode",
            Self::EmitToRoom => "emit-to-room",
            Self::EventAck => "event-ack",
            Self::FrameParse => "frame-parse",
        }
    }

    /// Creates the state that an operation needs.
    ///
    /// # Errors
    ///
    /// If a client cannot connect.
    pub fn prepare(self) -> Result<Box<dyn Operation>> {
        Ok(match self {
            Self::WireDecode => Box::new(Decode::new()),
            Self::WireEncode => Box::new(Encode::new()),
            Self::EmitToRoom => Box::new(Room::fill(1_000)?),
            Self::EventAck => Box::new(Event::connect()?),
            Self::FrameParse => Box::new(Frames::connect()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_does_what_it_is_for_again_and_again() {
        for path in HotPath::value_variants() {
            let mut operation = path.prepare().expect("it is prepared");
            for _ in 0..3 {
                operation
                    .run()
                    .unwrap_or_else(|error| panic!("{}: {error:#}", path.name()));
            }
            let named = path.to_possible_value().expect("it has a name");
            assert_eq!(named.get_name(), path.name());
        }
    }
}
