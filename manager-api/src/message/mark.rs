//! The mark of a message that a bridge has brought from another fleet.

use std::fmt;

/// Tells that a bridge has brought a message into its fleet, and which message of another fleet it is.
///
/// A bridge never forwards a message that has a mark, so that none comes back or goes round. Servers and emitters take
/// no notice of it. On each [wire](crate::wire) it stands where other software ignores it.
///
/// ```
/// use manager_api::message::Mark;
///
/// let mark = Mark::new([7; 16]);
/// assert_eq!(Mark::read(&mark.to_string()), mark);
/// assert_eq!(Mark::read("of a later version"), Mark::UNKNOWN);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark([u8; 16]);

impl Mark {
    /// A mark that cannot be read: the message was brought by a bridge, and which one it is remains unknown.
    pub const UNKNOWN: Self = Self([0; 16]);

    /// Creates a mark from the fingerprint of a message.
    pub const fn new(fingerprint: [u8; 16]) -> Self {
        Self(fingerprint)
    }

    /// Reads a mark as it is [written](fmt::Display): 32 hexadecimal digits. Any other text is [`UNKNOWN`](Self::UNKNOWN),
    /// because a message with a mark of any form must not be forwarded.
    pub fn read(text: &str) -> Self {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map_or(Self::UNKNOWN, |number| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}
