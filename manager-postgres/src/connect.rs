//! The connector: opens a connection to the primary, over sockets and TLS, and checks that it is suitable.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use manager_api::Error;
use manager_api::backend::tls::Tls;
use manager_api::backend::url::Address;
use manager_api::backend::{Failure as _, dial};
use manager_api::diagnosis::Code;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};

use crate::config::{PostgresOptions, quoted};
use crate::error::Failure;
use crate::probe;
use crate::refusal::Asked;
use crate::schema::VERSION;
use crate::session::{Events, Place, Session};
use crate::socket::Socket;
use crate::tls::Handshake;
use crate::url::{Host, Target};

/// The oldest version of the server with all that the schema needs.
const MIN_SERVER_VERSION: u32 = 14;

/// The addresses of PostgreSQL, the login, and the TLS configuration.
pub(crate) struct Connector {
    /// What the URL says.
    target: Target,
    /// The addresses, human-readable.
    label: String,
    /// The parameters of the handshake; `None` for connections without TLS.
    tls: Option<Tls>,
    /// Login, database and mode of TLS, as the client library takes them.
    config: Config,
    /// The schema of our objects, not quoted.
    pub(crate) schema: Arc<str>,
    /// The name of connections, before the word for their purpose.
    application_name: String,
    /// The limit of one attempt to connect, all hosts together.
    pub(crate) connect_timeout: Duration,
    /// The host to try next.
    next: AtomicUsize,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// Reads the URL, and the files of TLS.
    pub(crate) fn new(url: &str, options: &PostgresOptions) -> Result<Self, Error> {
        let target = Target::parse(url)?;
        let tls = match target.has_tls {
            true => Some(Tls::new(&target.tls.over(&options.tls)?)?),
            false => None,
        };
        let mut config = Config::new();
        config.user(&target.user).dbname(&target.database);
        config.ssl_mode(if target.has_tls {
            SslMode::Require
        } else {
            SslMode::Disable
        });
        if let Some(password) = &target.password {
            config.password(password);
        }
        let application_name = target
            .application_name
            .clone()
            .or_else(|| options.application_name.clone());
        Ok(Self {
            label: target.label(),
            tls,
            config,
            schema: target.schema.as_deref().unwrap_or(&options.schema).into(),
            application_name: application_name.unwrap_or_else(|| "sio".to_owned()),
            connect_timeout: target.connect_timeout.unwrap_or(options.connect_timeout),
            next: AtomicUsize::new(0),
            target,
        })
    }

    /// Returns the address or addresses, human-readable.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Opens a connection to a server that takes messages, within the connect timeout.
    pub(crate) async fn connect(&self, asked: Asked, events: Arc<Events>) -> Result<Session, Failure> {
        let hosts = &self.target.hosts;
        let share = self.connect_timeout / u32::try_from(hosts.len()).unwrap_or(u32::MAX).max(1);
        let mut told: Option<Failure> = None;
        for _ in hosts {
            let number = self.next.load(Ordering::Relaxed);
            let host = &hosts[number % hosts.len()];
            let opened = timeout(share, self.open_suited(host, asked, events.clone())).await;
            let failure = match opened.unwrap_or_else(|_| Err(Failure::silent(&host.to_string(), share))) {
                Ok(session) => return Ok(session),
                Err(failure) => failure,
            };
            // The host that worked is tried first the next time, the one that failed last.
            let _ = self
                .next
                .compare_exchange(number, number.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
            if failure.is_refused() || told.as_ref().is_none_or(|told| !told.is_refused()) {
                told = Some(failure);
            }
        }
        Err(told.unwrap_or_else(|| Failure::other(&self.label, "the URL names no server")))
    }

    /// Opens a connection and checks that the server is a primary with our schema.
    async fn open_suited(&self, host: &Host, asked: Asked, events: Arc<Events>) -> Result<Session, Failure> {
        let session = match (self.open(host, asked, events).await, host) {
            // It waits for the rest of what is not a message, or does not: the end says little.
            (Err(failure), Host::Tcp(at)) if failure.is_cut && probe::is_foreign(at).await => {
                return Err(Failure::another_service(&failure.address));
            }
            (opened, _) => opened?,
        };
        let limit = self.connect_timeout;
        let questions = "SELECT pg_is_in_recovery(), current_setting('server_version_num')";
        let row = session.text_row(questions, limit).await?;
        let field = |index: usize| row.get(index).cloned().flatten().unwrap_or_default();
        if field(0) == "t" {
            let text = "a standby, which is read-only: name the primary in the URL, or all servers, of which the primary is chosen";
            let refusal = Failure::refusal(&session.address, Code::Replica, text);
            // With several, one of them is the primary, or will be.
            return Err(if self.target.hosts.len() > 1 {
                refusal.transient()
            } else {
                refusal
            });
        }
        let version = field(1).parse().map_or(0, |number: u32| number / 10_000);
        if version < MIN_SERVER_VERSION {
            let text = format!("PostgreSQL {version} is too old: {MIN_SERVER_VERSION} or later is needed");
            return Err(Failure::wrong_url(&session.address, Code::Refused, text));
        }
        let needs_schema = !matches!(asked, Asked::Install | Asked::Relay | Asked::Notify | Asked::Notices);
        if needs_schema {
            self.check_version(&session).await?;
        }
        Ok(session)
    }

    /// Checks that the schema is the one that this version knows.
    async fn check_version(&self, session: &Session) -> Result<(), Failure> {
        let question = format!("SELECT {}.version()", quoted(&self.schema));
        let row = session.text_row(&question, self.connect_timeout).await?;
        let version = row.first().cloned().flatten().unwrap_or_default();
        match version == VERSION.to_string() {
            true => Ok(()),
            false => {
                let text = format!(
                    "the schema {:?} has version {version}, and this program needs {VERSION}: run the `sio postgres install` of the newer one",
                    self.schema
                );
                Err(Failure::wrong_url(&session.address, Code::NotInstalled, text))
            }
        }
    }

    /// Opens a connection to a server, over TLS if that is configured, and logs in.
    async fn open(&self, host: &Host, asked: Asked, events: Arc<Events>) -> Result<Session, Failure> {
        let address = host.to_string();
        let (stream, own_port, name) = match host {
            Host::Tcp(at) => open_tcp(at, &address).await?,
            Host::Unix(path) => open_unix(path, &address).await?,
        };
        let place = Place {
            address: address.clone(),
            own_port,
            schema: self.schema.clone(),
            asked,
        };
        let mut config = self.config.clone();
        config.application_name(format!("{} {}", self.application_name, purpose(asked)));
        let of_login = |error| Failure::client(&address, &self.schema, Asked::Login, Arc::new(error));
        match &self.tls {
            None => {
                let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(of_login)?;
                Ok(Session::start(client, connection, place, events))
            }
            Some(tls) => {
                let handshake =
                    Handshake::new(tls, name).map_err(|what| Failure::refusal(&address, Code::Tls, what))?;
                let (client, connection) = config.connect_raw(stream, handshake).await.map_err(of_login)?;
                Ok(Session::start(client, connection, place, events))
            }
        }
    }
}

/// Returns the word for the purpose of a connection in the server's lists.
fn purpose(asked: Asked) -> &'static str {
    match asked {
        Asked::Login | Asked::Examine => "examine",
        Asked::Publish | Asked::Notify => "publish",
        Asked::Listen | Asked::Notices => "listen",
        Asked::Install => "install",
        Asked::Relay => "relay",
    }
}

/// Returns the socket, the port of our end, and the name of the server.
async fn open_tcp<'a>(at: &'a Address, address: &str) -> Result<(Socket, Option<u16>, &'a str), Failure> {
    let stream = dial::connect(&at.host, at.port).await;
    let stream = stream.map_err(|error| Failure::io(address, &error))?;
    let own_port = stream.local_addr().ok().map(|local| local.port());
    Ok((Socket::Tcp(stream), own_port, &at.host))
}

/// Opens a Unix socket, on which no port tells who is at the other end. The name is that of
/// certificates for it.
async fn open_unix(path: &Path, address: &str) -> Result<(Socket, Option<u16>, &'static str), Failure> {
    let stream = UnixStream::connect(path).await;
    let stream = stream.map_err(|error| Failure::io(address, &error))?;
    Ok((Socket::Unix(stream), None, "localhost"))
}
