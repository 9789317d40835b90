//! The server among the other servers: who is there, and events between their code.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use manager_api::cluster::{Gathered, RoomInfo, ServerEvent, ServerInfo, ServerResponse};
use manager_api::id::{IntoEventName, IntoNamespaceName};
use manager_api::{Error, HostId};
use serde::Serialize;

use super::handle::SocketIo;
use crate::handler::{EventContext, IntoOutcome};
use crate::log;

/// The other servers. Questions about clients, wherever they are, start as events for them do: see
/// [`Broadcast::fetch_sockets`](manager_api::Broadcast::fetch_sockets).
impl SocketIo {
    /// Returns the id by which the other servers know this one.
    pub fn server_id(&self) -> &HostId {
        self.core().hub.host_id()
    }

    /// Lists the servers on the manager's channel and their status; this one is among them.
    ///
    /// Servers of python-socketio do not answer. One of ours that was there and does not answer within `timeout` is named as missing.
    ///
    /// ```no_run
    /// # async fn example(io: socket_io::SocketIo) -> Result<(), socket_io::Error> {
    /// let servers = io.servers(socket_io::manager_api::cluster::DEFAULT_REQUEST_TIMEOUT).await?;
    /// println!("{} servers, {} do not answer", servers.found.len(), servers.missing_servers.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Busy`](manager_api::ErrorKind::Busy) if too many questions are open, [`Timeout`](manager_api::ErrorKind::Timeout) if this server does
    /// not hear the others yet, otherwise what the manager says about publishing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the question.
    pub async fn servers(&self, timeout: Duration) -> Result<Gathered<Vec<ServerInfo>>, Error> {
        self.core().hub.servers(timeout).await
    }

    /// Lists the rooms of a namespace whose names start with `prefix`, with the numbers of their members on all servers. The rooms named by
    /// the ids of clients are left out; so are servers of python-socketio.
    ///
    /// # Errors
    ///
    /// [`Config`](manager_api::ErrorKind::Config) if the namespace cannot be used, otherwise as [`servers`](Self::servers).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request.
    pub async fn rooms(
        &self,
        namespace: impl IntoNamespaceName,
        prefix: &str,
        timeout: Duration,
    ) -> Result<Gathered<Vec<RoomInfo>>, Error> {
        let namespace = namespace.into_namespace_name()?;
        self.core().hub.rooms(namespace, prefix, timeout).await
    }

    /// Sends an event to the code of every other server, not to clients. Not to this server.
    ///
    /// Completes when the broker has accepted the event.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::emit`](manager_api::Broadcast::emit).
    pub async fn server_side_emit<T: Serialize + ?Sized>(
        &self,
        event: impl IntoEventName,
        data: &T,
    ) -> Result<(), Error> {
        self.core().hub.server_side_emit(event, data).await
    }

    /// Sends an event to the code of every other server, and collects what each answers.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(io: socket_io::SocketIo) -> Result<(), socket_io::Error> {
    /// let loads = io.server_side_call("load?", &(), Duration::from_secs(2)).await?;
    /// for answer in loads.found {
    ///     println!("{}: {:?}", answer.server, answer.payload);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Config`](manager_api::ErrorKind::Config) if event or payload cannot be used, otherwise as [`servers`](Self::servers).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the question.
    pub async fn server_side_call<T: Serialize + ?Sized>(
        &self,
        event: impl IntoEventName,
        data: &T,
        timeout: Duration,
    ) -> Result<Gathered<Vec<ServerResponse>>, Error> {
        self.core().hub.server_side_call(event, data, timeout).await
    }

    /// Registers the handler of an event that other servers and emitters send to this one. What it returns is the answer, if they want one.
    ///
    /// Handlers start in the order in which the events of one sender come, and may overlap. One that takes longer than the sender waits is
    /// dropped. One that fails or panics is logged; its sender gets no answer. A later registration replaces an earlier one.
    ///
    /// ```
    /// # use socket_io::SocketIo;
    /// # use socket_io::manager_api::cluster::ServerEvent;
    /// # let io = SocketIo::new();
    /// io.on_server_event("load?", async |io: SocketIo, _: ServerEvent| io.metrics().num_clients);
    /// ```
    ///
    /// # Panics
    ///
    /// If the name is empty or reserved by Socket.IO.
    pub fn on_server_event<F, Fut>(&self, event: impl IntoEventName, handler: F) -> &Self
    where
        F: Fn(Self, ServerEvent) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome<EventContext>,
    {
        let name = event.into_event_name().unwrap_or_else(|error| panic!("{error}"));
        // Weak, because the hub that keeps the handler belongs to the server.
        let server = Arc::downgrade(self.server());
        let handler = move |event: ServerEvent| {
            let name = event.event.clone();
            let handled = server.upgrade().map(|server| handler(Self::from_server(server), event));
            async move {
                match handled?.await.into_outcome() {
                    Ok(answer) => Some(answer),
                    Err(error) => {
                        log::failed_for_server(&name, &*error);
                        None
                    }
                }
            }
            .boxed()
        };
        self.core().hub.on_server_event(name, Arc::new(handler));
        self
    }
}
