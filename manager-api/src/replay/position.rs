//! The [`Position`] of a message in a log, and its text.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind};

/// The place of a message in a log: the epoch of the log, and the offset in it.
///
/// Positions of one epoch are ordered as the messages are, as long as no [`Gap`](crate::Incoming::Gap) is between them. Those of
/// two are not ordered at all: a place in the one log is nowhere in the other.
///
/// Its text is short, because it may accompany each event to each client: `5rXg0aB2.1v2Zk9` is the epoch, a dot, and the offset;
/// the numbers have 64 digits, those of URL-safe base64. Each position has one text, and each accepted text is that of one
/// position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "managers make it of its parts")]
pub struct Position {
    /// The log.
    pub epoch: Epoch,
    /// The place in it.
    pub offset: Offset,
}

/// Which log it is. One that was deleted and made anew under the same name has another epoch, except with Kafka, where a
/// message is told from another one at the same offset by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "it is a number")]
pub struct Epoch(pub u64);

/// The place of a message in its log. A later message has a larger one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "managers make it of its parts")]
pub struct Offset {
    /// The number of the message; a time in milliseconds in a stream of Redis.
    pub major: u64,
    /// The number among those of the same `major`; 0 where that is enough.
    pub minor: u64,
}

/// The number of random bits of an epoch: eight digits.
const EPOCH_BITS: u32 = 48;
/// The digits of URL-safe base64.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// The most bytes of the text of a position: three numbers of eleven digits, and two dots.
const MAX_LEN: usize = 35;

impl Epoch {
    /// Chooses the epoch of a new log at random: another one has the same with a probability of 2⁻⁴⁸.
    ///
    /// # Panics
    ///
    /// If the operating system has no source of randomness.
    pub fn random() -> Self {
        let random = getrandom::u64().expect("the operating system provides randomness");
        Self(random >> (u64::BITS - EPOCH_BITS))
    }
}

impl Position {
    /// Creates the position of a numbered message.
    pub fn new(epoch: Epoch, major: u64, minor: u64) -> Self {
        let offset = Offset { major, minor };
        Self { epoch, offset }
    }
}

impl PartialOrd for Position {
    /// Compares the offsets of one log; positions of two logs have no order.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.epoch == other.epoch).then(|| self.offset.cmp(&other.offset))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_number(f, self.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.epoch)?;
        write_number(f, self.offset.major)?;
        if self.offset.minor > 0 {
            f.write_str(".")?;
            write_number(f, self.offset.minor)?;
        }
        Ok(())
    }
}

impl FromStr for Epoch {
    type Err = Error;

    /// Reads the text of an epoch.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] for any other text.
    fn from_str(text: &str) -> Result<Self, Error> {
        read_number(text).map(Self).ok_or_else(no_position)
    }
}

impl FromStr for Position {
    type Err = Error;

    /// Reads the text of a position.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] for any other text.
    fn from_str(text: &str) -> Result<Self, Error> {
        read_position(text).ok_or_else(no_position)
    }
}

fn read_position(text: &str) -> Option<Position> {
    let (epoch, offset) = Some(text).filter(|text| text.len() <= MAX_LEN)?.split_once('.')?;
    let (major, minor) = match offset.split_once('.') {
        Some((major, minor)) => (major, Some(read_number(minor).filter(|minor| *minor > 0)?)),
        None => (offset, None),
    };
    let (epoch, major) = (read_number(epoch)?, read_number(major)?);
    Some(Position::new(Epoch(epoch), major, minor.unwrap_or_default()))
}

/// Does not repeat the text: it comes from a client.
fn no_position() -> Error {
    Error::new(ErrorKind::Malformed, "the text is not a position in a log")
}

/// Writes a number, without leading zeros.
fn write_number(f: &mut fmt::Formatter<'_>, number: u64) -> fmt::Result {
    let len = (u64::BITS - number.leading_zeros()).div_ceil(6).max(1);
    for place in (0..len).rev() {
        let digit = DIGITS[(number >> (6 * place)) as usize & 63];
        fmt::Write::write_char(f, char::from(digit))?;
    }
    Ok(())
}

/// Reads a number as it is written.
fn read_number(text: &str) -> Option<u64> {
    let is_padded = text.len() > 1 && text.starts_with('A');
    if text.is_empty() || is_padded {
        return None;
    }
    text.bytes().try_fold(0_u64, |number, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)? as u64;
        Some(number.checked_mul(64)? | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_position_has_one_text_and_each_text_one_position() {
        let numbers = [0, 1, 63, 64, 4095, 1 << 47, 1_764_500_000_000, u64::MAX];
        for epoch in numbers {
            for major in numbers {
                for minor in numbers {
                    let position = Position::new(Epoch(epoch), major, minor);
                    let text = position.to_string();
                    assert_eq!(text.parse::<Position>().unwrap(), position, "{text}");
                    assert!(text.len() <= MAX_LEN);
                }
            }
        }
        assert_eq!(Position::new(Epoch(1), 64, 0).to_string(), "B.BA");
        assert_eq!(Position::new(Epoch(0), 63, 2).to_string(), "A._.C");
    }

    #[test]
    fn what_no_position_is_written_as_is_refused() {
        for text in [
            "",
            ".",
            "B",
            "B.",
            ".B",
            "B.B.",
            "B.B.A",
            "B.B.B.B",
            "AB.B",
            "B.AB",
            "B.B.AB",
            "B.B ",
            "B.ü",
            "+.B",
            "B-.=",
            "BAAAAAAAAAAA.B",
            "Q_________8.B",
        ] {
            let error = text.parse::<Position>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{text:?}");
        }
        assert!("B.".to_owned().repeat(1 << 20).parse::<Position>().is_err());
    }

    #[test]
    fn positions_of_two_logs_have_no_order() {
        let [one, other] = [1, 2].map(|epoch| Position::new(Epoch(epoch), 5, 0));
        assert_eq!(one.partial_cmp(&other), None);
        assert!(one < Position::new(Epoch(1), 5, 1) && one < Position::new(Epoch(1), 6, 0));
    }

    #[test]
    fn the_epochs_of_two_logs_differ_and_are_short() {
        let [one, other] = [Epoch::random(), Epoch::random()];
        assert_ne!(one, other);
        assert!(one.to_string().len() <= 8);
    }
}
