//! What the sender of an event expects in return.

use manager_api::message::CallbackAddress;
use manager_api::{HostId, Sid};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

/// What the sender of an event expects.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Its side.
    pub(crate) side: usize,
    pub(crate) origin: HostId,
    pub(crate) callback: Option<CallbackAddress>,
    pub(crate) report: Option<u64>,
    pub(crate) receipt: Option<u64>,
    /// When the sender stops waiting for acknowledgements.
    pub(crate) until: Instant,
    /// When each fleet's part is given with what there is; the bridge responds a while later.
    pub(crate) share_by: Instant,
    pub(crate) shares: mpsc::UnboundedSender<Share>,
    pub(crate) _permit: OwnedSemaphorePermit,
}

/// The response of one fleet.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// The recipients of an event that may acknowledge it: by name, and the number of others.
    pub(crate) names: Vec<Sid>,
    pub(crate) num_unnamed: u64,
    /// The clients that were handed it.
    pub(crate) num_handed: u64,
    pub(crate) is_truncated: bool,
}

impl Share {
    /// Adds the names of recipients, up to `max` in all.
    pub(crate) fn add_names(&mut self, names: Vec<Sid>, max: usize) {
        let left = max.saturating_sub(self.names.len());
        self.is_truncated |= names.len() > left;
        self.names.extend(names.into_iter().take(left));
    }
}

impl Asked {
    /// Adds the response of a fleet; each is to add one.
    pub(crate) fn add(&self, share: Share) {
        // The response may be sent already.
        let _ = self.shares.send(share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_recipients_are_bounded_and_what_is_left_out_is_told() {
        let names = |count: usize| (0..count).map(|number| Sid::from(number.to_string())).collect();
        let mut share = Share::default();
        share.add_names(names(3), 5);
        share.add_names(names(2), 5);
        assert_eq!((share.names.len(), share.is_truncated), (5, false));
        share.add_names(names(1), 5);
        assert_eq!((share.names.len(), share.is_truncated), (5, true));
    }
}
