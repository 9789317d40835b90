//! Questions about clients wherever they are, and commands to all of them.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;

use super::{Broadcast, check_count};
use crate::cluster::{self, AckReport, DEFAULT_REQUEST_TIMEOUT, Gathered, RemoteSocket};
use crate::cluster::{Change, RequestKind, Selection};
use crate::{Error, Payload, Room};

/// Clients of every server. Servers of python-socketio know none of this: their clients are neither found nor moved.
impl Broadcast {
    /// Finds the clients that an event would go to, with their rooms, on every server.
    ///
    /// ```no_run
    /// # async fn example(emitter: manager_api::Emitter) -> Result<(), manager_api::Error> {
    /// let lobby = emitter.of("/chat").to("lobby").fetch_sockets().await?;
    /// for socket in &lobby.found {
    ///     println!("{} on {} is in {:?}", socket.id, socket.server, socket.rooms);
    /// }
    /// if !lobby.missing_servers.is_empty() {
    ///     println!("and those of {:?}, who did not answer", lobby.missing_servers);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the namespace cannot be used, [`Busy`](crate::ErrorKind::Busy) if too many questions are open,
    /// [`Timeout`](crate::ErrorKind::Timeout) if the question could not be asked in [time](Self::timeout), otherwise what
    /// [`ClientManager::publish`](crate::ClientManager::publish) says. A server that does not answer is no error: the result names it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the question.
    pub fn fetch_sockets(self) -> BoxFuture<'static, Result<Gathered<Vec<RemoteSocket>>, Error>> {
        let (sink, scope, timeout) = (self.sink.clone(), self.scope, self.request_timeout());
        async move {
            let (limit, max_bytes) = (sink.max_sockets(), sink.max_sockets_bytes());
            let clients = self.selection(0)?;
            let namespace = clients.namespace.clone();
            let responses = sink
                .ask(RequestKind::Sockets { clients, limit }, scope, timeout)
                .await?;
            Ok(cluster::sockets(responses, namespace, (limit, max_bytes)).await)
        }
        .boxed()
    }

    /// Counts the clients that an event would go to, on every server.
    ///
    /// # Errors
    ///
    /// As [`fetch_sockets`](Self::fetch_sockets).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the question.
    pub fn count_sockets(self) -> BoxFuture<'static, Result<Gathered<u64>, Error>> {
        let (sink, scope, timeout) = (self.sink.clone(), self.scope, self.request_timeout());
        async move {
            let clients = self.selection(0)?;
            let responses = sink.ask(RequestKind::Count { clients }, scope, timeout).await?;
            Ok(cluster::counted(responses).await)
        }
        .boxed()
    }

    /// Emits an event and waits until everybody it was sent to has answered, or until [`timeout`](Self::timeout); names those who have not.
    ///
    /// It ends as soon as every client of our servers has answered or left. Answers of clients on a python-socketio server are there if they
    /// came until then; use [`emit_with_ack`](Self::emit_with_ack) to wait for those.
    ///
    /// ```no_run
    /// # async fn example(emitter: manager_api::Emitter) -> Result<(), manager_api::Error> {
    /// let report = emitter.to("lobby").emit_and_collect("ready?", &()).await?;
    /// if !report.is_complete() {
    ///     println!("no answer of {:?}, no word of {:?}", report.missing_clients, report.missing_servers);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if namespace, event or payload cannot be used, [`Busy`](crate::ErrorKind::Busy) if too many
    /// questions are open, [`Timeout`](crate::ErrorKind::Timeout) if the other servers are not heard yet; nothing was sent then. That the
    /// broker did not take the event is told by the [report](AckReport::failure).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the question.
    pub fn emit_and_collect<T: Serialize + ?Sized>(
        self,
        event: &str,
        data: &T,
    ) -> BoxFuture<'static, Result<AckReport, Error>> {
        let (sink, scope, timeout) = (self.sink.clone(), self.scope, self.ack_timeout());
        let emit = Payload::new(data).and_then(|payload| self.into_emit(event, Ok(payload)));
        async move {
            let limit = sink.max_sockets();
            let (answers, responses) = sink.emit_with_report(emit?, scope, timeout).await?;
            Ok(cluster::acknowledgements(answers, responses, limit).await)
        }
        .boxed()
    }

    /// Puts the clients that an event would go to into rooms, on every server.
    ///
    /// Rooms that a limit does not let a client enter are
    /// counted and logged by its server; the other clients and rooms are not affected.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub fn sockets_join<R: Into<Room>>(
        self,
        rooms: impl IntoIterator<Item = R>,
    ) -> BoxFuture<'static, Result<(), Error>> {
        self.change(Change::Join(rooms.into_iter().map(Into::into).collect()))
    }

    /// Takes the clients that an event would go to out of rooms, on every server.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub fn sockets_leave<R: Into<Room>>(
        self,
        rooms: impl IntoIterator<Item = R>,
    ) -> BoxFuture<'static, Result<(), Error>> {
        self.change(Change::Leave(rooms.into_iter().map(Into::into).collect()))
    }

    /// Disconnects the clients that an event would go to from the namespace, on every server. Their connections stay.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub fn disconnect_sockets(self) -> BoxFuture<'static, Result<(), Error>> {
        self.change(Change::Disconnect)
    }

    /// Disconnects the clients that an event would go to from every namespace, on every server, and closes their connections.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub fn close_connections(self) -> BoxFuture<'static, Result<(), Error>> {
        self.change(Change::Close)
    }

    fn change(self, change: Change) -> BoxFuture<'static, Result<(), Error>> {
        let (sink, scope) = (self.sink.clone(), self.scope);
        let num_rooms = match &change {
            Change::Join(rooms) | Change::Leave(rooms) => rooms.len(),
            Change::Disconnect | Change::Close => 0,
        };
        match self.selection(num_rooms) {
            Ok(clients) => sink.change(clients, change, scope),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }

    /// Returns the clients that are meant; the message about them names `others` beside them.
    fn selection(self, others: usize) -> Result<Selection, Error> {
        let num_names = self.target.rooms().len() + self.skip.len() + self.except.len() + others;
        check_count("names", num_names, self.sink.message_limits().max_names)?;
        Ok(Selection {
            namespace: self.checked_namespace()?,
            target: self.target,
            skip: self.skip,
            except: self.except,
        })
    }

    fn request_timeout(&self) -> Duration {
        self.timeout.unwrap_or(DEFAULT_REQUEST_TIMEOUT)
    }
}
