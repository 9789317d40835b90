//! Opening a connection, and what is declared on it.

use std::fmt;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::options::{ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream, OwnedIdentity, OwnedTLSConfig};
use lapin::types::FieldTable;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use manager_api::backend::{bad, seconds};
use manager_api::{Error, HostId};
use tokio::time::timeout;

use crate::config::{AmqpOptions, TlsOptions, table};
use crate::error::{Failure, is_not_found};
use crate::url::Target;

/// Knows where RabbitMQ is, how to get in, and what the exchange is.
pub(crate) struct Connector {
    uri: AMQPUri,
    label: String,
    tls: OwnedTLSConfig,
    name: String,
    exchange: String,
    is_durable: bool,
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

/// A connection. Dropping it cuts the connection; [`close`](Self::close) is the polite way.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    _socket: CutOnDrop,
}

impl Connector {
    pub(crate) fn new(url: &str, options: &AmqpOptions, host_id: &HostId) -> Result<Self, Error> {
        let Target { mut uri, ca_file } = Target::parse(url)?;
        let tls = match uri.scheme {
            AMQPScheme::AMQPS => tls_config(&options.tls, ca_file.as_deref())?,
            AMQPScheme::AMQP => OwnedTLSConfig::default(),
        };
        let heartbeat = u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX);
        uri.query.heartbeat.get_or_insert(heartbeat);
        let connect_timeout = uri.query.connection_timeout.map(Duration::from_millis);
        Ok(Self {
            label: Target {
                uri: uri.clone(),
                ca_file,
            }
            .label(),
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

    /// Names the place for people.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// The exchange that stands for the channel.
    pub(crate) fn exchange(&self) -> &str {
        &self.exchange
    }

    pub(crate) fn failure(&self, error: lapin::Error) -> Failure {
        Failure::amqp(&self.label, error)
    }

    /// Opens a connection to publish on, with confirms.
    pub(crate) async fn open_publishing(&self) -> Result<(Link, Channel), Failure> {
        let opened = async {
            let link = self.connect("publish").await?;
            let channel = link.connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            self.declare_exchange(&channel).await?;
            Ok((link, channel))
        };
        self.within_timeout(opened).await
    }

    /// Limits an attempt to the connect timeout.
    pub(crate) async fn within_timeout<T>(
        &self,
        attempt: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Failure> {
        match timeout(self.connect_timeout, attempt).await {
            Ok(opened) => opened.map_err(|error| self.failure(error)),
            Err(_) => {
                let text = format!("no answer within {}", seconds(self.connect_timeout));
                Err(Failure::other(&self.label, text))
            }
        }
    }

    pub(crate) async fn declare_exchange(&self, channel: &Channel) -> lapin::Result<()> {
        let options = ExchangeDeclareOptions {
            durable: self.is_durable,
            ..ExchangeDeclareOptions::default()
        };
        let arguments = self.exchange_arguments.clone();
        let exchange = self.exchange.as_str().into();
        channel
            .exchange_declare(exchange, ExchangeKind::Fanout, options, arguments)
            .await
    }

    /// Asks on a channel of its own: the broker closes it to say no.
    pub(crate) async fn exchange_exists(&self, link: &Link) -> lapin::Result<bool> {
        let channel = link.connection.create_channel().await?;
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let exchange = self.exchange.as_str().into();
        let asked = channel.exchange_declare(exchange, ExchangeKind::Fanout, options, FieldTable::default());
        match asked.await {
            Ok(()) => channel.close(200, "bye".into()).await.map(|()| true),
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens a connection. Whoever drops the future takes the socket along.
    pub(crate) async fn connect(&self, role: &str) -> lapin::Result<Link> {
        let socket = Socket::default();
        let slot = socket.clone();
        let tls = self.tls.clone();
        let patience = self.connect_timeout;
        let runtime = lapin::runtime::default_runtime()?;
        let reactor = runtime.clone();
        let connect = async move |uri: AMQPUri, _| {
            let plain = AMQPUri {
                scheme: AMQPScheme::AMQP,
                ..uri.clone()
            };
            let opening = plain.connect_async(&reactor);
            let stream = timeout(patience, opening).await.map_err(std::io::Error::from)??;
            if let AsyncTcpStream::Plain(stream) = &stream {
                let socket = TcpStream::from(stream.get_ref().as_fd().try_clone_to_owned()?);
                socket.set_nodelay(true)?;
                slot.fill(socket);
            }
            match uri.scheme {
                AMQPScheme::AMQP => Ok(stream),
                AMQPScheme::AMQPS => Ok(stream.into_tls(&uri.authority.host, tls.as_ref()).await?),
            }
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
    /// Takes leave of the broker, which does not take longer than `patience`.
    pub(crate) async fn close(self, patience: Duration) {
        let _ = timeout(patience, self.connection.close(200, "bye".into())).await;
    }
}

/// The socket of a connection, by which the client library's thread is ended whatever it waits for.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    socket: Option<TcpStream>,
    is_cut: bool,
}

impl Socket {
    fn fill(&self, socket: TcpStream) {
        let mut slot = self.slot();
        if slot.is_cut {
            let _ = socket.shutdown(Shutdown::Both);
        } else {
            slot.socket = Some(socket);
        }
    }

    fn cut(&self) {
        let mut slot = self.slot();
        slot.is_cut = true;
        if let Some(socket) = slot.socket.take() {
            // It may be gone already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts the socket of a connection, or of an attempt that was given up.
struct CutOnDrop(Socket);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut();
    }
}

fn tls_config(options: &TlsOptions, ca_file: Option<&Path>) -> Result<OwnedTLSConfig, Error> {
    let read = |path: &Path| {
        let text = format!("cannot read {}", path.display());
        std::fs::read(path).map_err(|error| bad(text).with_source(error))
    };
    let cert_chain = match ca_file.or(options.ca_file.as_deref()) {
        Some(path) => {
            let text = format!("{} is no PEM file", path.display());
            Some(String::from_utf8(read(path)?).map_err(|error| bad(text).with_source(error))?)
        }
        None => None,
    };
    let identity = match &options.client_identity {
        Some((chain, key)) => Some(OwnedIdentity::PKCS8 {
            pem: read(chain)?,
            key: read(key)?,
        }),
        None => None,
    };
    Ok(OwnedTLSConfig { identity, cert_chain })
}
