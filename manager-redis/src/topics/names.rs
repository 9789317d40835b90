//! The names by which a message may come to one connection several times.
//!
//! They are those that the server has confirmed, in the order of its replies: a message before the reply came by a
//! pattern only, and one behind it comes by the name, too.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use manager_api::backend::glob;

use super::wanted::Wanted;

/// The names that a connection is subscribed to, where both topics and patterns may be.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The topics that are subscribed to by their names.
    topics: HashSet<Bytes>,
    /// The patterns, in the order in which they were confirmed.
    patterns: Vec<Arc<str>>,
}

impl Names {
    /// Records that the server has confirmed a name.
    pub(super) fn insert(&mut self, wanted: &Wanted) {
        match wanted.command {
            "SUBSCRIBE" => drop(self.topics.insert(Bytes::copy_from_slice(wanted.name.as_bytes()))),
            "PSUBSCRIBE" => self.patterns.push(wanted.name.clone()),
            _ => {}
        }
    }

    /// Records that the server has ended a subscription.
    pub(super) fn remove(&mut self, wanted: &Wanted) {
        match wanted.command {
            "SUBSCRIBE" => drop(self.topics.remove(wanted.name.as_bytes())),
            "PSUBSCRIBE" => self.patterns.retain(|pattern| *pattern != wanted.name),
            _ => {}
        }
    }

    /// Returns whether a message came by its name, too, or by an earlier pattern.
    pub(super) fn comes_otherwise(&self, topic: &Bytes, pattern: &Bytes) -> bool {
        let earlier = self.patterns.iter().take_while(|other| other.as_bytes() != pattern);
        self.topics.contains(topic) || { earlier }.any(|other| glob::matches(other.as_bytes(), topic))
    }
}
