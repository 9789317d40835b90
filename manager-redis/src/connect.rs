//! Opening a connection to the right node: sockets, TLS, login, Sentinel.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use manager_api::Error;
use manager_api::backend::{bad, seconds};
use redis::{Cmd, RedisError, Value, cmd};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::{RedisOptions, TlsOptions};
use crate::error::Failure;
use crate::resp;
use crate::url::{Login, Node, Target, Topology};

/// What is read at once.
const READ_LEN: usize = 64 << 10;
/// The longest reply while logging in.
const MAX_REPLY_LEN: usize = 64 << 10;

/// A socket of any kind. One virtual call per read or write is nothing beside the system call.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection that is logged in, and what was read from it and not yet used.
pub(crate) struct Connection {
    pub(crate) stream: Box<dyn Duplex>,
    pub(crate) input: BytesMut,
    pub(crate) address: String,
}

/// Knows where Redis is, and how to get in.
pub(crate) struct Connector {
    target: Target,
    label: String,
    tls: Option<TlsConnector>,
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
    pub(crate) fn new(url: &str, options: &RedisOptions) -> Result<Self, Error> {
        let target = Target::parse(url, &options.common.channel)?;
        let tls = match target.has_tls {
            true => Some(tls_connector(&options.tls, target.ca_file.as_deref())?),
            false => None,
        };
        Ok(Self {
            label: target.label(),
            target,
            tls,
            sentinel_login: Login {
                username: options.sentinel.username.clone(),
                password: options.sentinel.password.clone(),
            },
            connect_timeout: options.connect_timeout,
            next: AtomicUsize::new(0),
        })
    }

    /// Names the place for people.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Opens one connection; the whole attempt takes no longer than the connect timeout.
    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        match &self.target.topology {
            Topology::Unix(path) => {
                let opened = self.open_unix(path);
                within(self.connect_timeout, &self.label, opened).await
            }
            Topology::Nodes(nodes) => {
                let share = self.share(nodes.len());
                self.first_of(nodes, share, |node| self.open(node, &self.target.login))
                    .await
            }
            Topology::Sentinel { sentinels, service } => self.connect_to_master(sentinels, service).await,
        }
    }

    async fn connect_to_master(&self, sentinels: &[Node], service: &str) -> Result<Connection, Failure> {
        let share = self.share(sentinels.len() + 1);
        let ask = |sentinel| self.ask_for_master(sentinel, service);
        let master = self.first_of(sentinels, share, ask).await?;
        let address = master.to_string();
        let opened = async {
            let mut connection = self.open(&master, &self.target.login).await?;
            // A sentinel may still name a server that was just demoted, whose messages would reach nobody.
            match connection.request(&cmd("ROLE")).await? {
                Ok(role) if !is_master(&role) => Err(Failure::other(&address, "not the master any more")),
                _ => Ok(connection),
            }
        };
        within(share, &address, opened).await
    }

    async fn ask_for_master(&self, sentinel: &Node, service: &str) -> Result<Node, Failure> {
        let mut connection = self.open(sentinel, &self.sentinel_login).await?;
        let question = cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service).to_owned();
        let address = &connection.address.clone();
        let answer = connection.request(&question).await?;
        let answer = answer.map_err(|error| Failure::server(address, error))?;
        match redis::from_redis_value::<Option<(String, u16)>>(answer) {
            Ok(Some((host, port))) => Ok(Node { host, port }),
            _ => {
                let text = format!("this sentinel knows no service {service:?}");
                Err(Failure::other(address, text))
            }
        }
    }

    /// Tries `nodes` in turn, beginning after the one tried last, until one succeeds.
    async fn first_of<'a, T, F>(
        &self,
        nodes: &'a [Node],
        share: Duration,
        mut attempt: impl FnMut(&'a Node) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut num_left = nodes.len();
        loop {
            let node = &nodes[self.next.fetch_add(1, Ordering::Relaxed) % nodes.len()];
            num_left -= 1;
            match within(share, &node.to_string(), attempt(node)).await {
                Err(_) if num_left > 0 => {}
                result => return result,
            }
        }
    }

    async fn open(&self, node: &Node, login: &Login) -> Result<Connection, Failure> {
        let address = node.to_string();
        let stream = self.open_tcp(node).await;
        let stream = stream.map_err(|error| Failure::io(&address, error))?;
        Connection::new(stream, address).logged_in(login).await
    }

    async fn open_tcp(&self, node: &Node) -> io::Result<Box<dyn Duplex>> {
        let stream = TcpStream::connect((node.host.as_str(), node.port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(node.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }

    async fn open_unix(&self, path: &Path) -> Result<Connection, Failure> {
        let address = path.display().to_string();
        let stream = UnixStream::connect(path).await;
        let stream = stream.map_err(|error| Failure::io(&address, error))?;
        let connection = Connection::new(Box::new(stream), address);
        connection.logged_in(&self.target.login).await
    }

    /// Divides the connect timeout, so that one dead node does not use up the time of the others.
    fn share(&self, num_steps: usize) -> Duration {
        self.connect_timeout / u32::try_from(num_steps).unwrap_or(u32::MAX).max(1)
    }
}

impl Connection {
    fn new(stream: Box<dyn Duplex>, address: String) -> Self {
        Self {
            stream,
            input: BytesMut::with_capacity(READ_LEN),
            address,
        }
    }

    /// Logs in, and makes sure that the server is ready to serve.
    async fn logged_in(mut self, login: &Login) -> Result<Self, Failure> {
        if let Some(password) = &login.password {
            let mut auth = cmd("AUTH");
            if let Some(username) = &login.username {
                auth.arg(username);
            }
            let answer = self.request(auth.arg(password)).await?;
            answer.map_err(|error| Failure::server(&self.address, error))?;
        }
        match self.request(&cmd("PING")).await? {
            // Whoever may only publish may not ping, and is logged in all the same.
            Err(error) if error.code() != Some("NOPERM") => Err(Failure::server(&self.address, error)),
            _ => Ok(self),
        }
    }

    /// Sends one command and waits for its reply.
    pub(crate) async fn request(&mut self, command: &Cmd) -> Result<Result<Value, RedisError>, Failure> {
        let written = self.stream.write_all(&command.get_packed_command()).await;
        written.map_err(|error| Failure::io(&self.address, error))?;
        let flushed = self.stream.flush().await;
        flushed.map_err(|error| Failure::io(&self.address, error))?;
        loop {
            let len = resp::reply_len(&self.input, MAX_REPLY_LEN).map_err(|_| self.not_redis())?;
            if let Some(len) = len {
                let reply = self.input.split_to(len);
                return Ok(resp::value(&reply));
            }
            self.read().await?;
        }
    }

    /// Reads what is there, at least one byte.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn read(&mut self) -> Result<(), Failure> {
        self.input.reserve(READ_LEN / 4);
        match self.stream.read_buf(&mut self.input).await {
            Ok(0) => Err(Failure::other(&self.address, "the server closed the connection")),
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::io(&self.address, error)),
        }
    }

    /// Discards the first `len` bytes that were read.
    pub(crate) fn consume(&mut self, len: usize) {
        self.input.advance(len);
    }

    pub(crate) fn not_redis(&self) -> Failure {
        Failure::other(&self.address, "the answer is not in Redis' protocol")
    }
}

async fn within<T>(
    limit: Duration,
    address: &str,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let result = timeout(limit, future).await;
    result.unwrap_or_else(|_| Err(Failure::other(address, format!("no answer within {}", seconds(limit)))))
}

fn is_master(role: &Value) -> bool {
    let first = match role {
        Value::Array(values) => values.first(),
        _ => None,
    };
    matches!(first, Some(Value::BulkString(name)) if name == b"master")
}

fn tls_connector(options: &TlsOptions, ca_file: Option<&Path>) -> Result<TlsConnector, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("TLS cannot be set up").with_source(error))?
        .with_root_certificates(trusted(ca_file.or(options.ca_file.as_deref()))?);
    let config = match &options.client_identity {
        None => config.with_no_client_auth(),
        Some((chain, key)) => {
            let unusable = |error| bad(format!("cannot use the private key in {}", key.display())).with_source(error);
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error))?;
            config
                .with_client_auth_cert(certificates(chain)?, private)
                .map_err(unusable)?
        }
    };
    Ok(Arc::new(config).into())
}

fn trusted(ca_file: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    let Some(path) = ca_file else {
        // Some of a system's certificates are often unusable; the others do.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(store);
    };
    for certificate in certificates(path)? {
        let text = format!("cannot use a certificate in {}", path.display());
        store.add(certificate).map_err(|error| bad(text).with_source(error))?;
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|error| unreadable(path, error))?;
    match certificates.is_empty() {
        true => Err(bad(format!("no certificate in {}", path.display()))),
        false => Ok(certificates),
    }
}

fn unreadable(path: &Path, error: tokio_rustls::rustls::pki_types::pem::Error) -> Error {
    bad(format!("cannot read {}", path.display())).with_source(error)
}
