//! Requests about clients of every server, and commands to all of them.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tracing::Instrument;

use super::Broadcast;
use crate::cluster::{self, AckReport, DEFAULT_REQUEST_TIMEOUT, Gathered, Receipt, RemoteSocket};
use crate::cluster::{Change, RequestKind, Selection};
use crate::id::IntoEventName;
use crate::trace;
use crate::{Error, ErrorKind, Payload, Room};

/// Clients of every server. Servers of python-socketio do not support this: their clients are neither found nor moved.
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
    ///     println!("no response from {:?}", lobby.missing_servers);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the namespace cannot be used, [`Busy`](crate::ErrorKind::Busy) if too
    /// many requests are open, [`Timeout`](crate::ErrorKind::Timeout) if the request could not be sent in
    /// [time](Self::timeout), otherwise those of [`ClientManager::publish`](crate::ClientManager::publish). A server
    /// that does not respond is not an error: the result names it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request.
    pub fn fetch_sockets(self) -> BoxFuture<'static, Result<Gathered<Vec<RemoteSocket>>, Error>> {
        let (sink, scope, timeout) = (self.sink.clone(), self.scope, self.request_timeout());
        async move {
            let (limit, max_bytes) = (sink.max_sockets(), sink.max_sockets_bytes());
            let clients = self.selection(0)?;
            let namespace = clients.namespace.clone();
            let responses = sink
                .request(RequestKind::Sockets { clients, limit }, scope, timeout)
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
    /// Dropping the future closes the request.
    pub fn count_sockets(self) -> BoxFuture<'static, Result<Gathered<u64>, Error>> {
        let (sink, scope, timeout) = (self.sink.clone(), self.scope, self.request_timeout());
        async move {
            let clients = self.selection(0)?;
            let responses = sink.request(RequestKind::Count { clients }, scope, timeout).await?;
            Ok(cluster::counted(responses).await)
        }
        .boxed()
    }

    /// Emits an event and waits until every recipient has acknowledged it, or until [`timeout`](Self::timeout); names
    /// those that have not.
    ///
    /// It ends as soon as every client of our servers has acknowledged or left. Acknowledgements of clients on a
    /// python-socketio server are included if they arrive before that; use [`emit_with_ack`](Self::emit_with_ack) to
    /// wait for them.
    ///
    /// ```no_run
    /// # async fn example(emitter: manager_api::Emitter) -> Result<(), manager_api::Error> {
    /// let report = emitter.to("lobby").emit_and_collect("ready?", &()).await?;
    /// if !report.is_complete() {
    ///     println!("missing: clients {:?}, servers {:?}", report.missing_clients, report.missing_servers);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if namespace, event or payload cannot be used,
    /// [`Busy`](crate::ErrorKind::Busy) if too many requests are open, [`Timeout`](crate::ErrorKind::Timeout) if
    /// discovery of the other servers did not complete in time; nothing was sent then. A failure to publish is part of
    /// the [report](AckReport::failure).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request.
    pub fn emit_and_collect<T: Serialize + ?Sized>(
        self,
        event: impl IntoEventName,
        data: &T,
    ) -> BoxFuture<'static, Result<AckReport, Error>> {
        let (sink, scope, timeout) = (self.sink.clone(), self.scope, self.ack_timeout());
        let emit = Payload::new(data).and_then(|payload| self.into_emit(event, Ok(payload)));
        async move {
            let limit = sink.max_sockets();
            let mut emit = emit?;
            let span = trace::begin(&mut emit);
            let emitted = sink.emit_with_report(emit, scope, timeout).instrument(span);
            let (acks, responses) = emitted.await?;
            Ok(cluster::acknowledgements(acks, responses, limit).await)
        }
        .boxed()
    }

    /// Emits an event and collects from every server the number of clients that it was handed to, without the help of
    /// the clients.
    ///
    /// The first request of an emitter waits a second for the servers to announce themselves.
    ///
    /// A server delivers to its own clients first, then publishes. Completes when every known server has reported, or
    /// after [`timeout`](Self::timeout), by default [`DEFAULT_REQUEST_TIMEOUT`]. Servers of python-socketio deliver the
    /// event and do not report it.
    ///
    /// ```no_run
    /// # async fn example(emitter: manager_api::Emitter) -> Result<(), manager_api::Error> {
    /// let receipt = emitter.to("lobby").emit_with_receipt("job done", &7).await?;
    /// if receipt.num_clients() == 0 {
    ///     println!("no client got it; {} servers reported", receipt.servers.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Busy`](crate::ErrorKind::Busy) if too many requests are open: nothing was sent then.
    /// [`Timeout`](crate::ErrorKind::Timeout) if discovery of the servers, or the broker, took too long: the event may
    /// have been sent. Otherwise as [`emit`](Self::emit).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request; the event may have been sent.
    pub fn emit_with_receipt<T: Serialize + ?Sized>(
        self,
        event: &str,
        data: &T,
    ) -> BoxFuture<'static, Result<Receipt, Error>> {
        let payload = Payload::new(data);
        self.emit_receipted(event, payload)
    }

    /// Emits an event whose arguments are a finished [`Payload`], and collects the number of clients that it was handed
    /// to.
    ///
    /// # Errors
    ///
    /// As [`emit_with_receipt`](Self::emit_with_receipt).
    pub fn emit_payload_with_receipt(
        self,
        event: &str,
        payload: Payload,
    ) -> BoxFuture<'static, Result<Receipt, Error>> {
        self.emit_receipted(event, Ok(payload))
    }

    fn emit_receipted(
        self,
        event: &str,
        payload: Result<Payload, Error>,
    ) -> BoxFuture<'static, Result<Receipt, Error>> {
        let (sink, scope, timeout) = (self.sink.clone(), self.scope, self.request_timeout());
        let emit = self.into_emit(event, payload);
        async move {
            let mut emit = emit?;
            let span = trace::begin(&mut emit);
            let emitted = sink.emit_with_receipt(emit, scope, timeout).instrument(span);
            let responses = emitted.await?;
            Ok(cluster::receipt(responses).await)
        }
        .boxed()
    }

    /// Puts the clients that an event would go to into rooms, on every server.
    ///
    /// Rooms that a limit does not allow a client to enter are counted and logged by its server; other clients and
    /// rooms are not affected.
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

    /// Removes the clients that an event would go to from rooms, on every server.
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

    /// Disconnects the clients that an event would go to from every namespace, on every server, and closes their
    /// connections.
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

    /// Returns the selected clients; the message about them holds `others` further names.
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

/// Rejects a message that servers would skip.
pub(super) fn check_count(what: &str, count: usize, max: usize) -> Result<(), Error> {
    if count <= max {
        return Ok(());
    }
    let text = format!("{count} {what} in one message: the limit max_message_{what} is {max}");
    Err(Error::new(ErrorKind::TooLarge, text))
}
