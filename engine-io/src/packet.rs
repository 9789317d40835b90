//! Incoming packets and their syntax; no I/O.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A packet of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// The client closes the session.
    Close,
    /// Only servers ping; a client does so while it probes a new transport.
    Ping(&'a str),
    /// The client is alive.
    Pong,
    /// A message of text.
    Message(&'a str),
    /// A message of bytes, which was base64.
    Binary(Vec<u8>),
    /// The client moves to the transport that it has probed.
    Upgrade,
    /// A packet that has no meaning here, and does no harm.
    Ignored,
}

/// The text is not a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Packet<'a> {
    /// Reads one packet of text.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Malformed> {
        let kind = *text.as_bytes().first().ok_or(Malformed)?;
        // Every byte matched below is ASCII, so the rest starts at a character.
        match kind {
            b'4' => Ok(Self::Message(&text[1..])),
            b'3' => Ok(Self::Pong),
            b'b' => from_base64(&text.as_bytes()[1..]).map(Self::Binary),
            b'2' => Ok(Self::Ping(&text[1..])),
            b'1' => Ok(Self::Close),
            b'5' => Ok(Self::Upgrade),
            b'0' | b'6' => Ok(Self::Ignored),
            _ => Err(Malformed),
        }
    }
}

/// Decodes base64 as leniently as Node: with line breaks and blanks, and in the alphabet for URLs,
/// too.
fn from_base64(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    BASE64.decode(text).or_else(|_| {
        let usual = text
            .iter()
            .filter(|byte| !byte.is_ascii_whitespace())
            .map(|byte| match byte {
                b'-' => b'+',
                b'_' => b'/',
                same => *same,
            });
        BASE64.decode(usual.collect::<Vec<u8>>()).map_err(|_| Malformed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read() {
        assert_eq!(Packet::parse("4hé"), Ok(Packet::Message("hé")));
        assert_eq!(Packet::parse("4"), Ok(Packet::Message("")));
        assert_eq!(Packet::parse("3"), Ok(Packet::Pong));
        assert_eq!(Packet::parse("2probe"), Ok(Packet::Ping("probe")));
        assert_eq!(Packet::parse("1"), Ok(Packet::Close));
        assert_eq!(Packet::parse("5"), Ok(Packet::Upgrade));
        assert_eq!(Packet::parse("6"), Ok(Packet::Ignored));
        assert_eq!(Packet::parse("bAQIDBA=="), Ok(Packet::Binary(vec![1, 2, 3, 4])));
        assert_eq!(Packet::parse("bAQIDBA"), Ok(Packet::Binary(vec![1, 2, 3, 4])));
    }

    #[test]
    fn base64_is_read_with_line_breaks_and_in_both_alphabets() {
        let bytes = || Ok(Packet::Binary(vec![0xfb, 0xff, 0xfe, 0xff]));
        for text in ["b+//+/w==", "b-__-_w==", "b-__-_w", "b+//+\r\n/w==\n", "b-_/ +\t_w="] {
            assert_eq!(Packet::parse(text), bytes(), "{text:?}");
        }
    }

    #[test]
    fn text_that_is_not_a_packet_is_refused() {
        for text in ["", "7", "abc", "é", "b*", "bA", "\u{1e}"] {
            assert_eq!(Packet::parse(text), Err(Malformed), "{text:?}");
        }
    }
}
