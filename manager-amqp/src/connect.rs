//! The connector: opens connections, and declares the exchange on them.

use std::fmt;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_compat::CompatExt;
use lapin::options::{ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::tcp::{AsyncTcpStream, RustlsConnector};
use lapin::types::FieldTable;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use manager_api::backend::tls::Tls;
use manager_api::backend::{dial, seconds};
use manager_api::lock::Unpoisoned;
use manager_api::{Error, HostId};
use tokio::time::timeout;

use crate::config::{AmqpOptions, table};
use crate::driver;
use crate::error::{During, Failure, Step, Thing, Trouble};
use crate::url::Target;

/// The address of RabbitMQ, the login, the TLS configuration, and the exchange.
pub(crate) struct Connector {
    uri: AMQPUri,
    label: String,
    tls: Option<Tls>,
    name: String,
    exchange: String,
    pub(crate) is_durable: bool,
    exchange_arguments: FieldTable,
    connect_timeout: Duration,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// A connection. Dropping it cuts the socket; [`close`](Self::close) closes the connection in order.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    _socket: CutOnDrop,
}

impl Connector {
    /// Reads the URL, and the files of TLS.
    pub(crate) fn new(url: &str, options: &AmqpOptions, host_id: &HostId) -> Result<Self, Error> {
        let target = Target::parse(url)?;
        let label = target.label();
        let Target { mut uri, tls, .. } = target;
        let tls = match uri.scheme {
            AMQPScheme::AMQPS => Some(Tls::new(&tls.over(&options.tls)?)?),
            AMQPScheme::AMQP => None,
        };
        let heartbeat = u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX);
        uri.query.heartbeat.get_or_insert(heartbeat);
        let connect_timeout = uri.query.connection_timeout.map(Duration::from_millis);
        Ok(Self {
            label,
            uri,
            tls,
            name: options
                .connection_name
                .clone()
                .unwrap_or_else(|| format!("sio {host_id}")),
            exchange: options.common.channel.clone(),
            is_durable: options.exchange.is_durable,
            exchange_arguments: table(&options.exchange.arguments),
            connect_timeout: connect_timeout.unwrap_or(options.connect_timeout),
        })
    }

    /// Returns the address, human-readable.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Returns the exchange, whose name is that of the channel.
    pub(crate) fn exchange(&self) -> &str {
        &self.exchange
    }

    /// Creates the failure of an operation.
    pub(crate) fn failure(&self, trouble: impl Into<Trouble>) -> Failure {
        Failure::amqp(&self.label, trouble)
    }

    /// Opens a connection and a channel with confirms, and declares the exchange.
    pub(crate) async fn open_publishing(&self) -> Result<(Link, Channel), Failure> {
        let opened = async {
            let link = self.connect("publish").await?;
            let channel = link.open_confirming().await?;
            self.declare_exchange(&channel).await?;
            Ok::<_, Trouble>((link, channel))
        };
        self.within_timeout(opened).await
    }

    /// Limits an attempt to the connect timeout.
    pub(crate) async fn within_timeout<T, E: Into<Trouble>>(
        &self,
        attempt: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        match timeout(self.connect_timeout, attempt).await {
            Ok(opened) => opened.map_err(|error| self.failure(error)),
            Err(_) => {
                let text = format!("no answer within {}", seconds(self.connect_timeout));
                Err(Failure::other(&self.label, text))
            }
        }
    }

    /// Declares the exchange.
    pub(crate) async fn declare_exchange(&self, channel: &Channel) -> Result<(), Trouble> {
        let options = ExchangeDeclareOptions {
            durable: self.is_durable,
            ..ExchangeDeclareOptions::default()
        };
        let arguments = self.exchange_arguments.clone();
        let exchange = self.exchange.as_str().into();
        let declared = channel.exchange_declare(exchange, ExchangeKind::Fanout, options, arguments);
        let step = || Step::Declare(Thing::Exchange(self.exchange.clone()));
        declared.await.during(step)
    }

    /// Opens a connection. Dropping the future cuts its socket.
    pub(crate) async fn connect(&self, role: &str) -> Result<Link, Trouble> {
        self.try_connect(role).await.during(|| Step::Login)
    }

    /// Connects by the client library, over a socket that can be cut at any time.
    async fn try_connect(&self, role: &str) -> lapin::Result<Link> {
        let socket = Socket::default();
        let slot = socket.clone();
        let tls = self.tls.clone();
        let patience = self.connect_timeout;
        let runtime = {
            let _entered = driver::handle()?.enter();
            lapin::runtime::default_runtime()?
        };
        let connect = async move |uri: AMQPUri, _| {
            driver::silence_this_thread();
            let opening = dial::connect(&uri.authority.host, uri.authority.port);
            let stream = timeout(patience, opening).await.map_err(std::io::Error::from)??;
            slot.fill(TcpStream::from(stream.as_fd().try_clone_to_owned()?));
            let stream = AsyncTcpStream::Plain(stream.compat());
            let Some(tls) = &tls else { return Ok(stream) };
            let name = tls.name_of(&uri.authority.host);
            Ok(stream.into_rustls(&RustlsConnector::from(tls.config()), name).await?)
        };
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("{} {role}", self.name).into())
            .with_client_property("product".into(), "sio".into());
        let socket = CutOnDrop(socket);
        let connection = Connection::connector(self.uri.clone(), runtime, connect, properties).await?;
        Ok(Link {
            connection,
            _socket: socket,
        })
    }
}

impl Link {
    /// Returns whether the connection is open, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        self.connection.status().connected()
    }

    /// Opens a channel whose messages the broker confirms.
    pub(crate) async fn open_confirming(&self) -> lapin::Result<Channel> {
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    /// Closes the connection, for at most `patience`.
    pub(crate) async fn close(self, patience: Duration) {
        let _ = timeout(patience, self.connection.close(200, "bye".into())).await;
    }
}

/// The socket of a connection, by which the client library's thread is ended regardless of what it waits for.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<Slot>>);

/// A socket, once there is one, and whether it is to be cut.
#[derive(Default)]
struct Slot {
    socket: Option<TcpStream>,
    is_cut: bool,
}

impl Socket {
    /// Stores the socket; cuts it if that was requested meanwhile.
    fn fill(&self, socket: TcpStream) {
        let mut slot = self.slot();
        if slot.is_cut {
            let _ = socket.shutdown(Shutdown::Both);
        } else {
            slot.socket = Some(socket);
        }
    }

    /// Cuts the socket, now or as soon as there is one.
    fn cut(&self) {
        let mut slot = self.slot();
        slot.is_cut = true;
        if let Some(socket) = slot.socket.take() {
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unpoisoned()
    }
}

/// Guard that cuts the socket of a connection, or of an abandoned attempt.
struct CutOnDrop(Socket);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut();
    }
}
