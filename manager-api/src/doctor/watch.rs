//! What passes on the channel during a diagnosis, of which only counts are kept.

use std::collections::BTreeMap;

use super::{Checks, Report};
use crate::diagnosis::{Code, Finding};
use crate::log::Escaped;
use crate::message::Message;
use crate::wire::python::{self, DecodeError};
use crate::{HostId, Incoming};

/// Reasons that are kept; further kinds of messages that cannot be decoded are only counted.
const MAX_REASONS: usize = 4;

/// An observer of the channel.
pub(super) struct Watch {
    host_id: HostId,
    has_own: bool,
    num_messages: u64,
    largest: usize,
    num_pickles: u64,
    num_undecodable: u64,
    /// Why, and how often.
    reasons: BTreeMap<String, u64>,
    gap: Option<String>,
}

impl Watch {
    /// Creates an observer that recognises the messages of a diagnosis by `host_id`.
    pub(super) fn new(host_id: HostId) -> Self {
        Self {
            host_id,
            has_own: false,
            num_messages: 0,
            largest: 0,
            num_pickles: 0,
            num_undecodable: 0,
            reasons: BTreeMap::new(),
            gap: None,
        }
    }

    /// Takes an item of the subscription into account.
    pub(super) fn note(&mut self, incoming: &Incoming) {
        let bytes = match incoming {
            Incoming::Message(bytes) => bytes,
            Incoming::Gap { reason } => {
                self.gap = Some(Escaped(reason).to_string());
                return;
            }
        };
        self.num_messages += 1;
        self.largest = self.largest.max(bytes.len());
        match python::decode(bytes) {
            Ok(envelope) => {
                let is_own = envelope.host_id.as_ref() == Some(&self.host_id);
                self.has_own |= is_own && matches!(envelope.message, Message::Seek);
            }
            Err(DecodeError::Pickle) => self.num_pickles += 1,
            // Of a later version, which is to be expected during an upgrade.
            Err(DecodeError::Version(_)) => {}
            Err(error) => self.note_undecodable(&error),
        }
    }

    fn note_undecodable(&mut self, error: &DecodeError) {
        self.num_undecodable += 1;
        let reason = Escaped(error).to_string();
        if self.reasons.len() < MAX_REASONS || self.reasons.contains_key(&reason) {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    /// Returns whether the message of the diagnosis came back.
    pub(super) fn has_own(&self) -> bool {
        self.has_own
    }

    /// Returns the length of the largest message, in bytes.
    pub(super) fn largest_message(&self) -> usize {
        self.largest
    }

    /// Reports what was seen.
    pub(super) fn judge(&self, checks: &Checks, report: &mut Report) {
        let channel = || format!("channel {}", checks.channel);
        if self.num_pickles > 0 {
            let evidence = format!(
                "{} of {} messages were Python pickles",
                self.num_pickles, self.num_messages
            );
            report.add(Finding::new(Code::Pickle, channel(), evidence));
        }
        if self.num_undecodable > 0 {
            let reasons: Vec<_> = self.reasons.keys().map(String::as_str).collect();
            let evidence = format!(
                "{} of {} messages: {}",
                self.num_undecodable,
                self.num_messages,
                reasons.join("; ")
            );
            report.add(Finding::new(Code::Undecodable, channel(), evidence));
        }
        if let Some(reason) = &self.gap {
            report.add(Finding::new(Code::Gap, channel(), reason));
        }
    }
}
