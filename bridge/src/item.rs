//! A message on its way to other sides.

use std::sync::Arc;

use manager_api::message::{Mark, Message};
use manager_api::{HostId, NamespaceName};

use crate::asked::Asked;

/// A message that is to be forwarded; shared by the pairs of sides.
#[derive(Debug)]
pub(crate) struct Item {
    /// The process that sent it.
    pub(crate) origin: Option<HostId>,
    pub(crate) message: Message,
    pub(crate) mark: Mark,
    /// Its approximate size in bytes.
    pub(crate) size: usize,
    /// What its sender expects in return.
    pub(crate) asked: Option<Arc<Asked>>,
}

/// Returns the namespace of a message that may be forwarded; `None` for one that is not forwarded.
pub(crate) fn namespace_of(message: &Message) -> Option<NamespaceName> {
    match message {
        Message::Emit(emit) => Some(emit.namespace.clone()),
        Message::Disconnect { namespace, .. }
        | Message::EnterRoom { namespace, .. }
        | Message::LeaveRoom { namespace, .. }
        | Message::CloseRoom { namespace, .. } => Some(namespace.clone()),
        Message::Members { clients, .. } => Some(clients.namespace.clone()),
        Message::Request(request) => Some(request.kind.namespace()),
        _ => None,
    }
}
