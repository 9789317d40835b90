//! Names and ids, validated on construction.

mod into;

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::{Error, ErrorKind};

pub use into::{IntoEventName, IntoIdempotencyKey, IntoNamespaceName};
pub use key::IdempotencyKey;

macro_rules! string_newtype {
    ($name:ident) => {
        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }
    };
}

mod key;

/// The id of the process that sent a message: a UUID without hyphens, as in python-socketio.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(Arc<str>);
string_newtype!(HostId);

impl HostId {
    /// Generates a random id.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string().into())
    }
}

impl From<&str> for HostId {
    /// Accepts any text: the ids of other implementations are opaque.
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

/// The public id of one client in one namespace.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sid(Arc<str>);
string_newtype!(Sid);

impl Sid {
    /// Generates a random id: 20 characters of URL-safe base64, as Node's are.
    ///
    /// # Panics
    ///
    /// If the operating system has no source of randomness.
    pub fn random() -> Self {
        use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
        let mut random = [0; 15];
        getrandom::fill(&mut random).expect("the operating system provides randomness");
        let mut text = [0; 20];
        BASE64_URL_SAFE_NO_PAD
            .encode_slice(random, &mut text)
            .expect("15 bytes are 20 characters");
        Self(std::str::from_utf8(&text).expect("base64 is ASCII").into())
    }
}

impl From<&str> for Sid {
    /// Accepts any text: the ids of other implementations are opaque.
    fn from(sid: &str) -> Self {
        Self(sid.into())
    }
}

impl From<String> for Sid {
    fn from(sid: String) -> Self {
        Self(sid.into())
    }
}

impl From<&Sid> for Sid {
    fn from(sid: &Sid) -> Self {
        sid.clone()
    }
}

/// A namespace: `/` or a path such as `/chat`.
///
/// Begins with `/` and holds no comma, which ends it on the wire (Socket.IO protocol, "packet encoding").
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespaceName(Arc<str>);
string_newtype!(NamespaceName);

impl NamespaceName {
    /// Validates `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if it does not begin with `/` or holds a comma.
    pub fn new(name: &str) -> Result<Self, Error> {
        if !name.starts_with('/') {
            let text = format!("namespace {name:?} must begin with '/'");
            return Err(Error::new(ErrorKind::Config, text));
        }
        if name.contains(',') {
            let text = format!("namespace {name:?} must not contain a comma");
            return Err(Error::new(ErrorKind::Config, text));
        }
        Ok(Self(name.into()))
    }

    /// Returns the default namespace, `/`.
    pub fn root() -> Self {
        static ROOT: std::sync::OnceLock<NamespaceName> = std::sync::OnceLock::new();
        ROOT.get_or_init(|| Self("/".into())).clone()
    }

    /// Returns whether this is the default namespace.
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }
}

impl Default for NamespaceName {
    fn default() -> Self {
        Self::root()
    }
}

/// A room's name: text, or a number, which python-socketio distinguishes from the text of the same digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Room {
    name: Arc<str>,
    is_number: bool,
}

impl Room {
    /// Returns the name, a number as its digits.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Returns whether the name is a number.
    pub fn is_number(&self) -> bool {
        self.is_number
    }

    /// Reads a name from JSON text: a string or a number; `None` from any other value.
    pub fn from_json(text: &str) -> Option<Self> {
        match text.as_bytes().first()? {
            b'"' => serde_json::from_str::<String>(text).ok().map(Self::from),
            b'-' | b'0'..=b'9' => {
                let number = serde_json::from_str(text).ok()?;
                Some(Self::from_number(&number))
            }
            _ => None,
        }
    }

    pub(crate) fn from_number(number: &serde_json::Number) -> Self {
        Self {
            name: number.to_string().into(),
            is_number: true,
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_number {
            f.write_str(&self.name)
        } else {
            write!(f, "{:?}", &*self.name)
        }
    }
}

impl From<&str> for Room {
    fn from(name: &str) -> Self {
        Self {
            name: name.into(),
            is_number: false,
        }
    }
}

impl From<String> for Room {
    fn from(name: String) -> Self {
        name.as_str().into()
    }
}

impl From<&String> for Room {
    fn from(name: &String) -> Self {
        name.as_str().into()
    }
}

impl From<i64> for Room {
    fn from(number: i64) -> Self {
        Self::from_number(&number.into())
    }
}

impl From<Sid> for Room {
    /// Every client is in a room named by its own id.
    fn from(sid: Sid) -> Self {
        Self {
            name: sid.0,
            is_number: false,
        }
    }
}

impl From<&Sid> for Room {
    fn from(sid: &Sid) -> Self {
        sid.clone().into()
    }
}

impl From<&Room> for Room {
    fn from(room: &Room) -> Self {
        room.clone()
    }
}

/// The name of an event that an application may emit.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventName(Arc<str>);
string_newtype!(EventName);

/// Names reserved by the protocol, in both directions (socket.io-parser, `RESERVED_EVENTS`).
pub const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

impl EventName {
    /// Validates `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if it is empty or reserved.
    pub fn new(name: &str) -> Result<Self, Error> {
        if name.is_empty() {
            let text = "the event name must not be empty";
            return Err(Error::new(ErrorKind::Config, text));
        }
        if RESERVED_EVENTS.contains(&name) {
            let text = format!("event name {name:?} is reserved by Socket.IO");
            return Err(Error::new(ErrorKind::Config, text));
        }
        Ok(Self(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_enter() {
        assert!(NamespaceName::new("/chat").is_ok());
        for bad in ["", "chat", "/a,b"] {
            assert_eq!(NamespaceName::new(bad).unwrap_err().kind(), ErrorKind::Config);
        }
        assert!(EventName::new("news").is_ok());
        for bad in ["", "connect", "disconnect", "newListener"] {
            assert_eq!(EventName::new(bad).unwrap_err().kind(), ErrorKind::Config);
        }
    }

    #[test]
    fn the_number_7_is_another_room_than_the_text_7() {
        assert_ne!(Room::from(7), Room::from("7"));
        assert_eq!(Room::from(7).as_str(), "7");
    }

    #[test]
    fn socket_ids_have_20_url_safe_characters() {
        let sid = Sid::random();
        assert_eq!(sid.as_str().len(), 20);
        let url_safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(sid.as_str().chars().all(url_safe));
        assert_ne!(sid, Sid::random());
    }
}
