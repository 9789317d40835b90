//! The connector: opens a connection to the right node, over sockets, TLS, Sentinel.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use manager_api::Error;
use manager_api::backend::tls::Tls;
use manager_api::backend::url::Address;
use manager_api::backend::{Failure as _, dial, seconds};
use redis::cmd;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::config::RedisOptions;
use crate::connection::{Connection, Duplex, Purpose};
use crate::error::Failure;
use crate::probe::{DOUBT, is_plain, speaks_tls};
use crate::refusal::Asked;
use crate::url::{Login, StreamParameters, Target, Topology};

/// The addresses of Redis, the logins, and the TLS configuration.
pub(crate) struct Connector {
    target: Target,
    label: String,
    tls: Option<Tls>,
    sentinel_login: Login,
    connect_timeout: Duration,
    /// The node or sentinel to try next.
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
    pub(crate) fn new(url: &str, options: &RedisOptions) -> Result<Self, Error> {
        let target = Target::parse(url, &options.common.channel)?;
        let tls = match target.has_tls {
            true => Some(Tls::new(&target.tls.over(&options.tls)?)?),
            false => None,
        };
        Ok(Self {
            label: target.label(),
            sentinel_login: Login {
                username: target
                    .sentinel_login
                    .username
                    .clone()
                    .or(options.sentinel.username.clone()),
                password: target
                    .sentinel_login
                    .password
                    .clone()
                    .or(options.sentinel.password.clone()),
            },
            target,
            tls,
            connect_timeout: options.connect_timeout,
            next: AtomicUsize::new(0),
        })
    }

    /// Returns the number of the database that the URL names.
    pub(crate) fn database(&self) -> u32 {
        self.target.database
    }

    /// Returns what the URL says of the stream that carries the messages, if it names one.
    pub(crate) fn stream(&self) -> Option<&StreamParameters> {
        self.target.stream.as_ref()
    }

    /// Returns the address or addresses, human-readable.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Opens one connection, within the connect timeout.
    pub(crate) async fn connect(&self, purpose: Purpose) -> Result<Connection, Failure> {
        match &self.target.topology {
            Topology::Unix(path) => {
                let opened = async { self.open_unix(path).await?.suited(purpose, false).await };
                within(self.connect_timeout, &self.label, opened).await
            }
            Topology::Nodes(nodes) => {
                let share = self.share(nodes.len());
                let open = |node| self.open_suited(node, purpose, false);
                self.first_of(nodes, share, open).await
            }
            Topology::Sentinel { sentinels, service } => {
                let share = self.share(sentinels.len() + 1);
                let ask = |sentinel| self.ask_for_master(sentinel, service);
                let master = self.first_of(sentinels, share, ask).await?;
                // A sentinel may still name a server that was just demoted, on which a message
                // would reach no subscriber of the new master.
                let opened = self.open_suited(&master, purpose, true);
                within(share, &master.to_string(), opened).await
            }
        }
    }

    /// Opens one connection to a node of a cluster, which another node named.
    pub(crate) async fn connect_to(&self, node: &Address, purpose: Purpose) -> Result<Connection, Failure> {
        let opened = self.open_suited(node, purpose, false);
        within(self.connect_timeout, &node.to_string(), opened).await
    }

    /// Returns the master that a sentinel names for the service.
    async fn ask_for_master(&self, sentinel: &Address, service: &str) -> Result<Address, Failure> {
        let answer = self.ask_sentinel(sentinel, service).await;
        self.explained(sentinel, answer).await
    }

    /// Connects to a sentinel and requests the address of the master.
    async fn ask_sentinel(&self, sentinel: &Address, service: &str) -> Result<Address, Failure> {
        let mut connection = self.open(sentinel, &self.sentinel_login).await?;
        let request = cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service).to_owned();
        let address = &connection.address.clone();
        let answer = connection.request(&request).await?;
        let answer = answer.map_err(|error| Failure::server(address, Asked::Sentinel, error))?;
        match redis::from_redis_value::<Option<(String, u16)>>(answer) {
            Ok(Some((host, port))) => Ok(Address { host, port }),
            _ => {
                let text = format!("this sentinel knows no service {service:?}");
                Err(Failure::other(address, text))
            }
        }
    }

    /// Tries `nodes` in turn, beginning after the one tried last, until one succeeds. If none does, a
    /// refusal takes precedence over an outage.
    async fn first_of<'a, T, F>(
        &self,
        nodes: &'a [Address],
        share: Duration,
        mut attempt: impl FnMut(&'a Address) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut told: Option<Failure> = None;
        for _ in nodes {
            let node = &nodes[self.next.fetch_add(1, Ordering::Relaxed) % nodes.len()];
            match within(share, &node.to_string(), attempt(node)).await {
                Ok(opened) => return Ok(opened),
                Err(failure) if failure.is_refused() || told.as_ref().is_none_or(|told| !told.is_refused()) => {
                    told = Some(failure);
                }
                Err(_) => {}
            }
        }
        Err(told.unwrap_or_else(|| Failure::other(&self.label, "the URL names no server")))
    }

    /// Opens a connection to a node and checks that it is suitable for `purpose`.
    async fn open_suited(&self, node: &Address, purpose: Purpose, follows_master: bool) -> Result<Connection, Failure> {
        let opened = async {
            let connection = self.open(node, &self.target.login).await?;
            connection.suited(purpose, follows_master).await
        };
        self.explained(node, opened.await).await
    }

    /// Replaces the failure of a connection that the server ended if the server turns out to expect TLS,
    /// which most servers do not report.
    async fn explained<T>(&self, node: &Address, outcome: Result<T, Failure>) -> Result<T, Failure> {
        match outcome {
            Err(failure) if failure.is_cut && self.tls.is_none() && speaks_tls(node).await.unwrap_or(false) => {
                Err(Failure::with_tls(&failure.address))
            }
            outcome => outcome,
        }
    }

    /// Opens a connection to a node, over TLS if that is configured, and logs in.
    async fn open(&self, node: &Address, login: &Login) -> Result<Connection, Failure> {
        let address = node.to_string();
        let stream = dial::connect(&node.host, node.port).await;
        let stream = stream.map_err(|error| Failure::io(&address, error))?;
        let stream = match &self.tls {
            None => Box::new(stream) as Box<dyn Duplex>,
            Some(tls) => shaken_hands(tls, node, stream).await?,
        };
        let connection = Connection::new(stream, address, self.tls.is_some());
        connection.logged_in(login).await
    }

    /// Opens a connection to a Unix socket, and logs in.
    async fn open_unix(&self, path: &Path) -> Result<Connection, Failure> {
        let address = path.display().to_string();
        let stream = UnixStream::connect(path).await;
        let stream = stream.map_err(|error| Failure::io(&address, error))?;
        let connection = Connection::new(Box::new(stream), address, false);
        connection.logged_in(&self.target.login).await
    }

    /// Divides the connect timeout, so that one dead node does not use up the time of the others.
    fn share(&self, num_steps: usize) -> Duration {
        self.connect_timeout / u32::try_from(num_steps).unwrap_or(u32::MAX).max(1)
    }
}

/// Completes the TLS handshake. A server without TLS waits for more of what it takes for a command: after
/// a while it is probed without TLS.
async fn shaken_hands(tls: &Tls, node: &Address, stream: TcpStream) -> Result<Box<dyn Duplex>, Failure> {
    let address = node.to_string();
    let name = ServerName::try_from(tls.name_of(&node.host).to_owned());
    let name = name.map_err(|error| Failure::unnamable(&address, error))?;
    let peer = stream.peer_addr().map_err(|error| Failure::io(&address, error))?;
    let connector = TlsConnector::from(tls.config());
    let shaking = connector.connect(name, stream);
    let doubting = async {
        sleep(DOUBT).await;
        if !is_plain(peer).await.unwrap_or(false) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        shaken = shaking => Ok(Box::new(shaken.map_err(|error| Failure::io(&address, error))?)),
        () = doubting => Err(Failure::without_tls(&address)),
    }
}

/// Limits a step of an attempt to connect.
async fn within<T>(
    limit: Duration,
    address: &str,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let result = timeout(limit, future).await;
    result.unwrap_or_else(|_| Err(Failure::other(address, format!("no answer within {}", seconds(limit)))))
}
