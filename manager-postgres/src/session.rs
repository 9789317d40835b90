//! One connection: its client, and the task that reads and writes.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Connection, Notification, Row, SimpleQueryMessage};

use crate::error::Failure;
use crate::refusal::Asked;
use crate::socket::Socket;

/// The limit for saying goodbye to the server.
const LEAVE: Duration = Duration::from_secs(1);

/// A connection that is logged in. Dropping it ends it.
pub(crate) struct Session {
    /// The server, human-readable.
    pub(crate) address: String,
    /// The port of our end, on a connection over TCP.
    pub(crate) own_port: Option<u16>,
    /// Sends requests.
    pub(crate) client: Arc<Client>,
    /// The schema of our objects, for explanations of errors.
    schema: Arc<str>,
    /// The purpose, for explanations of errors.
    pub(crate) asked: Asked,
    /// What the task of the connection tells.
    events: Arc<Events>,
    /// Dropped with the session, which ends the task after a moment.
    _closing: oneshot::Sender<()>,
}

/// What the task of a connection tells.
pub(crate) struct Events {
    /// Takes a notification; returns whether it wakes.
    on_notification: Box<dyn Fn(&Notification) -> bool + Send + Sync>,
    /// A notification of ours arrived.
    woken: Notify,
    /// The task has ended.
    ended: Notify,
    /// Why it ended, if the server or the socket told.
    cause: OnceLock<Arc<tokio_postgres::Error>>,
}

impl Events {
    /// Creates the events of a connection whose notifications wake if `takes` says so.
    pub(crate) fn new(takes: impl Fn(&Notification) -> bool + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            on_notification: Box::new(takes),
            woken: Notify::new(),
            ended: Notify::new(),
            cause: OnceLock::new(),
        })
    }

    /// Handles what the server sends by itself; true if the connection has ended.
    fn is_last(&self, message: Result<AsyncMessage, tokio_postgres::Error>) -> bool {
        match message {
            Ok(AsyncMessage::Notification(notification)) => {
                if (self.on_notification)(&notification) {
                    self.woken.notify_one();
                }
                false
            }
            // Notices are for people at a prompt.
            Ok(_) => false,
            Err(error) => {
                // Only the first is the cause of the others.
                let _ = self.cause.set(Arc::new(error));
                true
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The parts of a session that do not depend on its socket.
pub(crate) struct Place {
    /// The server, human-readable.
    pub(crate) address: String,
    /// The port of our end, on a connection over TCP.
    pub(crate) own_port: Option<u16>,
    /// The schema of our objects.
    pub(crate) schema: Arc<str>,
    /// The purpose of the connection.
    pub(crate) asked: Asked,
}

impl Session {
    /// Starts the task of a connection.
    pub(crate) fn start<T>(client: Client, connection: Connection<Socket, T>, place: Place, events: Arc<Events>) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (closing, is_closing) = oneshot::channel();
        tokio::spawn(drive(connection, events.clone(), is_closing));
        Self {
            address: place.address,
            own_port: place.own_port,
            client: Arc::new(client),
            schema: place.schema,
            asked: place.asked,
            events,
            _closing: closing,
        }
    }

    /// Returns the failure that an error of the client library means. A connection that ended has its cause elsewhere.
    pub(crate) fn failure(&self, error: tokio_postgres::Error) -> Failure {
        let error = match self.events.cause.get() {
            Some(cause) if error.is_closed() => cause.clone(),
            _ => Arc::new(error),
        };
        Failure::client(&self.address, &self.schema, self.asked, error)
    }

    /// Returns the failure of a connection that has ended.
    pub(crate) fn gone(&self) -> Failure {
        match self.events.cause.get() {
            Some(cause) => Failure::client(&self.address, &self.schema, self.asked, cause.clone()),
            None => Failure::other(&self.address, "the server closed the connection"),
        }
    }

    /// Completes when the connection has ended.
    pub(crate) async fn ended(&self) -> Failure {
        if !self.client.is_closed() {
            self.events.ended.notified().await;
        }
        self.gone()
    }

    /// Completes after a notification of ours.
    pub(crate) async fn woken(&self) {
        self.events.woken.notified().await;
    }

    /// Runs statements without parameters, within `limit`.
    pub(crate) async fn run(&self, statements: &str, limit: Duration) -> Result<(), Failure> {
        self.within(limit, self.client.batch_execute(statements)).await
    }

    /// Returns the fields of the last row of statements without parameters, as text.
    pub(crate) async fn text_row(&self, statements: &str, limit: Duration) -> Result<Vec<Option<String>>, Failure> {
        let messages = self.within(limit, self.client.simple_query(statements)).await?;
        let last = messages.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect())
            }
            _ => None,
        });
        last.ok_or_else(|| Failure::other(&self.address, "the server returned no row"))
    }

    /// Returns the rows of a statement with parameters of these types. It is not prepared under a name, which a
    /// connection pooler may not know on its next connection.
    pub(crate) async fn rows(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        limit: Duration,
    ) -> Result<Vec<Row>, Failure> {
        self.within(limit, self.client.query_typed(statement, parameters)).await
    }

    /// Limits a request in time.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        match timeout(limit, request).await {
            Ok(answer) => answer.map_err(|error| self.failure(error)),
            Err(_) => Err(Failure::silent(&self.address, limit)),
        }
    }
}

/// Reads and writes until the connection ends, or a moment after its session was dropped.
async fn drive<T>(mut connection: Connection<Socket, T>, events: Arc<Events>, is_closing: oneshot::Receiver<()>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
{
    let reading = async {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            if events.is_last(message) {
                return;
            }
        }
    };
    let leaving = async {
        let _ = is_closing.await;
        sleep(LEAVE).await;
    };
    tokio::select! {
        () = reading => {}
        () = leaving => {}
    }
    events.ended.notify_one();
}
