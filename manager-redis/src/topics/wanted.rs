//! A name that is subscribed to, and the commands about it.

use std::sync::Arc;

use manager_api::topics::{Interest, Topic};

/// A name, and the command that subscribes to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) command: &'static str,
    pub(super) name: Arc<str>,
}

impl Wanted {
    /// Returns the name of an interest; `None` of a stream.
    pub(super) fn of(interest: &Interest) -> Option<Self> {
        let (command, name) = match interest {
            Interest::Topic(topic) if topic.is_sharded => ("SSUBSCRIBE", &topic.name),
            Interest::Topic(topic) => ("SUBSCRIBE", &topic.name),
            Interest::Pattern(pattern) => ("PSUBSCRIBE", pattern),
            _ => return None,
        };
        let name = name.clone();
        Some(Self { command, name })
    }

    /// Returns the interest.
    pub(super) fn interest(&self) -> Interest {
        match self.command {
            "SSUBSCRIBE" => Interest::Topic(Topic::sharded(self.name.clone())),
            "SUBSCRIBE" => Interest::Topic(Topic::new(self.name.clone())),
            _ => Interest::Pattern(self.name.clone()),
        }
    }

    /// Returns the command that ends the subscription.
    pub(super) fn ending(&self) -> &'static str {
        match self.command {
            "SSUBSCRIBE" => "SUNSUBSCRIBE",
            "SUBSCRIBE" => "UNSUBSCRIBE",
            _ => "PUNSUBSCRIBE",
        }
    }
}

/// A command about one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) wanted: Wanted,
    /// Whether it subscribes; otherwise it unsubscribes.
    pub(super) begins: bool,
}

impl Command {
    /// Returns whether a notice of the server is the reply to it.
    pub(super) fn is_confirmed_by(&self, kind: &[u8], name: &[u8]) -> bool {
        let word = match self.begins {
            true => self.wanted.command,
            false => self.wanted.ending(),
        };
        word.as_bytes().eq_ignore_ascii_case(kind) && self.wanted.name.as_bytes() == name
    }
}
