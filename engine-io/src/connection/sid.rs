//! The id of an engine session: a secret between one client and this server.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The secret id of a session: 20 characters of URL-safe base64, 15 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sid([u8; 20]);

impl Sid {
    /// Creates a new id, of the operating system's randomness.
    pub(crate) fn random() -> Self {
        let mut random = [0; 15];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let mut sid = [0; 20];
        URL_SAFE_NO_PAD
            .encode_slice(random, &mut sid)
            .expect("15 bytes are 20 characters");
        Self(sid)
    }

    /// Reads the id that a client sent; it may name no session.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.as_bytes().try_into().ok().map(Self)
    }

    /// Returns the id as text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64, or copied from a string")
    }

    /// Returns a number that spreads ids evenly: they are random, so any of their characters do.
    pub(crate) fn spread(&self) -> usize {
        usize::from(self.0[0] ^ self.0[1].rotate_left(3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_twenty_characters_and_differ() {
        let (one, two) = (Sid::random(), Sid::random());
        assert_eq!(one.as_str().len(), 20);
        assert!(one != two);
        assert!(Sid::parse(one.as_str()) == Some(one));
        assert!(Sid::parse("__proto__").is_none());
    }
}
