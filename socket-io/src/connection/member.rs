//! The clients of one connection.

use std::sync::Arc;

use engine_io::ProtocolError;

use super::work::Work;
use crate::client::Client;
use crate::namespace::NamespaceState;

/// A client of this connection and what its handlers have to do, in order.
pub(super) struct Member {
    pub(super) client: Arc<Client>,
    pub(super) namespace: Arc<NamespaceState>,
    pub(super) work: Work,
    /// Its end was noted, and its disconnect handler queued: until then it stays, though it is closed already.
    pub(super) is_ended: bool,
}

impl Member {
    pub(super) fn new(client: Arc<Client>, namespace: Arc<NamespaceState>) -> Self {
        Self {
            client,
            namespace,
            work: Work::default(),
            is_ended: false,
        }
    }

    /// It is closed, but its disconnect handler is not queued yet.
    pub(super) fn is_about_to_end(&self) -> bool {
        !self.is_ended && self.client.is_closed() && !self.client.is_refused()
    }
}

pub(super) fn member<'a>(members: &'a mut [Member], namespace: &str) -> Option<&'a mut Member> {
    let is_it = |member: &&mut Member| member.namespace.name == namespace && member.client.is_open();
    members.iter_mut().find(is_it)
}

pub(super) fn open_member<'a>(members: &'a mut [Member], namespace: &str) -> Result<&'a mut Member, ProtocolError> {
    let not_joined = ProtocolError::new("a packet for a namespace that the client has not joined");
    member(members, namespace).ok_or(not_joined)
}
