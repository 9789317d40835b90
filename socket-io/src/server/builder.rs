//! The builder of a server.

use std::sync::Arc;

use engine_io::Engine;
use hub::Hub;
use manager_api::wire::{Python, Wire};
use manager_api::{ClientManager, Error, NamespaceName};

use super::handle::SocketIo;
use super::opener::Opener;
use super::state::Server;
#[cfg(feature = "admin")]
use crate::admin;
use crate::client::{Ages, Client, Connecting, HubDelivery, Observer};
use crate::config::Config;
use crate::connection::{ClientHub, Core, QueuedTotal, Unjoined};
use crate::counters::Counters;
use crate::states::States;

/// Configures a [`SocketIo`].
#[derive(Default)]
#[must_use = "nothing is made before `build`"]
pub struct SocketIoBuilder {
    config: Config,
    manager: Option<(Arc<dyn ClientManager>, Arc<dyn Wire>)>,
    states: States,
    #[cfg(feature = "admin")]
    admin: Option<admin::Admin>,
}

impl SocketIoBuilder {
    /// Shares the work with every other server and emitter on the manager's channel. A manager that others use too is given in an [`Arc`].
    pub fn manager(mut self, manager: impl ClientManager) -> Self {
        self.manager = Some((Arc::new(manager), Arc::new(Python)));
        self
    }

    /// As [`manager`](Self::manager), with servers of other software: the server writes its messages in their
    /// [wire](manager_api::wire), and responds to their requests.
    ///
    /// # Errors
    ///
    /// [`Config`](manager_api::ErrorKind::Config) if the manager lacks what the wire needs.
    pub fn manager_with_wire(mut self, manager: impl ClientManager, wire: impl Wire + 'static) -> Result<Self, Error> {
        wire.check(&manager)?;
        self.manager = Some((Arc::new(manager), Arc::new(wire)));
        Ok(self)
    }

    /// Replaces the configuration.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Changes the configuration.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Adds a value that handlers can ask for by [`State`](crate::extract::State); one of each type.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
        self
    }

    /// Lets the official Admin UI look at the server; see [`Admin`](crate::admin::Admin).
    ///
    /// Servers on one channel that are instrumented alike are seen together.
    #[cfg(feature = "admin")]
    pub fn instrument(mut self, admin: admin::Admin) -> Self {
        self.admin = Some(admin);
        self
    }

    /// Makes the server and, if it has a manager, begins to listen to the others.
    ///
    /// # Panics
    ///
    /// With a manager, or if it is instrumented, if called outside a tokio runtime.
    pub fn build(self) -> SocketIo {
        let has_manager = self.manager.is_some();
        #[cfg(feature = "admin")]
        let (feed, observer) = match self.admin.map(admin::AdminFeed::new) {
            Some((feed, receiver)) => (Some((feed.clone(), receiver)), Observer::new(feed)),
            None => (None, Observer::none()),
        };
        #[cfg(not(feature = "admin"))]
        let observer = Observer::none();
        let delivery = HubDelivery {
            parser: self.config.parser,
            observer,
            ages: Ages::default(),
            connecting: Connecting::default(),
        };
        let server = Arc::new(Server::new(Core {
            hub: hub(delivery, self.manager, &self.config),
            counters: Counters::default(),
            unjoined: Unjoined::new(&self.config),
            queued: QueuedTotal::new(self.config.max_queued_bytes_total),
            config: self.config,
            states: self.states,
        }));
        server.namespaces.named(NamespaceName::root());
        let opener = Opener(Arc::downgrade(&server));
        let engine = Engine::new(opener, server.core.config.engine.clone());
        server.engine.get_or_init(|| engine);
        if has_manager {
            let task = tokio::spawn(server.core.hub.clone().run());
            server.listening.get_or_init(|| task.abort_handle());
        }
        #[cfg(feature = "admin")]
        if let Some((feed, receiver)) = feed {
            admin::start(&SocketIo::from_server(server.clone()), feed, receiver);
        }
        SocketIo::from_server(server)
    }
}

/// Makes the hub, with the other servers if there is a manager.
fn hub(
    delivery: HubDelivery<Client>,
    manager: Option<(Arc<dyn ClientManager>, Arc<dyn Wire>)>,
    config: &Config,
) -> Arc<ClientHub> {
    let options = config.hub.clone();
    match manager {
        Some((manager, wire)) => {
            let hub = Hub::with_wire(delivery, manager, &*wire, options);
            hub.expect("the wire was checked when it was set")
        }
        None => Hub::new(delivery, None, options),
    }
}

impl std::fmt::Debug for SocketIoBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketIoBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl SocketIo {
    /// Makes a server with the default configuration and no other servers beside it.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts a server that is configured first.
    pub fn builder() -> SocketIoBuilder {
        SocketIoBuilder::default()
    }
}

impl Default for SocketIo {
    fn default() -> Self {
        Self::new()
    }
}
