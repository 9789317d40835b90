//! The part of a server that its connections and clients see: limits, hub, counters, values of the application.

use std::sync::Arc;

use hub::Hub;

use super::load::QueuedTotal;
use super::unjoined::Unjoined;
use crate::client::{Client, Connecting, HubDelivery};
use crate::config::Config;
use crate::counters::Counters;
use crate::states::States;

/// A hub whose clients are those of this crate.
pub(crate) type ClientHub = Hub<HubDelivery<Client>>;

/// What connections and clients share, without handlers and namespaces.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) hub: Arc<ClientHub>,
    pub(crate) states: States,
    pub(crate) counters: Counters,
    pub(crate) unjoined: Unjoined,
    pub(crate) queued: QueuedTotal,
}

impl Core {
    pub(crate) fn connecting(&self) -> &Connecting<Client> {
        &self.hub.deliver().connecting
    }
}
