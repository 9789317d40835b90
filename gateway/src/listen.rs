//! Listeners of a server: TCP, Unix sockets, and TLS over TCP.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use socket_io::service::{Accepted, Listen};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;

use crate::tls::Tls;

/// Where a server listens.
///
/// ```
/// use gateway::listen::Address;
///
/// assert_eq!("3000".parse::<Address>()?, Address::local(3000));
/// assert!("[::1]:3000".parse::<Address>()?.is_local());
/// assert!(!"0.0.0.0:3000".parse::<Address>()?.is_local());
/// assert_eq!("unix:/run/sio.sock".parse::<Address>()?, Address::Unix("/run/sio.sock".into()));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A port of a host, which may be a name. Port 0 lets the system choose one.
    Tcp {
        /// The name or address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Returns the address of a port that only programs of this machine reach.
    pub fn local(port: u16) -> Self {
        Self::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
        }
    }

    /// Returns whether only programs of this machine reach it: a loopback address, `localhost`, or a Unix socket.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    /// Reads `HOST:PORT`, `[IPv6]:PORT`, `:PORT`, `PORT` or `unix:/PATH`; without a host it is this machine's own address, never one that others
    /// reach.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("expected the path of a socket, such as unix:/run/sio.sock".to_owned()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let expected =
            || "expected HOST:PORT, PORT or unix:/PATH, such as 127.0.0.1:3000, [::1]:3000 or 3000".to_owned();
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port = port.parse().map_err(|_| expected())?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(expected)?,
            None if host.contains(':') => return Err(expected()),
            None if host.is_empty() => "127.0.0.1",
            None => host,
        };
        let host = host.to_owned();
        Ok(Self::Tcp { host, port })
    }
}

/// A listener that is bound to an [`Address`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Bound {
    /// TCP, for [`serve_on`](socket_io::service::serve_on), or for [`TlsListener`].
    Tcp(TcpListener),
    /// A Unix socket, which is removed when this is dropped.
    #[cfg(unix)]
    Unix(UnixSocket),
}

impl Bound {
    /// Binds an address: the first of a host that can be bound, those of IPv4 before those of IPv6.
    ///
    /// A socket that a killed server left behind is replaced; one that is listened on is not.
    ///
    /// # Errors
    ///
    /// If the host is not known, or the address is taken or not allowed.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp { host, port } => {
                let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), *port)).await?.collect();
                addresses.sort_by_key(SocketAddr::is_ipv6);
                TcpListener::bind(&addresses[..]).await.map(Self::Tcp)
            }
            #[cfg(unix)]
            Address::Unix(path) => UnixSocket::bind(path).await.map(Self::Unix),
            #[cfg(not(unix))]
            Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Returns where clients reach it: with the port that the system chose.
    ///
    /// # Errors
    ///
    /// If the system does not tell.
    pub fn url(&self, is_secure: bool) -> io::Result<String> {
        let scheme = if is_secure { "https" } else { "http" };
        match self {
            Self::Tcp(listener) => Ok(format!("{scheme}://{}/", listener.local_addr()?)),
            #[cfg(unix)]
            Self::Unix(socket) => Ok(format!("unix:{}", socket.path.display())),
        }
    }
}

/// A listening Unix socket, whose file is removed when this is dropped.
#[cfg(unix)]
#[derive(Debug)]
pub struct UnixSocket {
    listener: tokio::net::UnixListener,
    path: PathBuf,
    /// Its file: another server may have taken the path meanwhile.
    file: Option<FileId>,
}

/// The identity of a file: device and inode.
#[cfg(unix)]
type FileId = (u64, u64);

#[cfg(unix)]
impl UnixSocket {
    /// Binds a path, in the place of a socket that nothing listens on.
    async fn bind(path: &std::path::Path) -> io::Result<Self> {
        use std::os::unix::fs::FileTypeExt;

        let kind = std::fs::symlink_metadata(path).map(|metadata| metadata.file_type());
        if kind.is_ok_and(|kind| !kind.is_socket()) {
            let text = "it exists and is not a socket";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if tokio::net::UnixStream::connect(path).await.is_err_and(refused) {
            std::fs::remove_file(path)?;
        }
        Ok(Self {
            listener: tokio::net::UnixListener::bind(path)?,
            path: path.to_owned(),
            file: file_id(path),
        })
    }
}

#[cfg(unix)]
fn file_id(path: &std::path::Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;

    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(unix)]
impl Drop for UnixSocket {
    fn drop(&mut self) {
        if self.file.is_some() && file_id(&self.path) == self.file {
            // It may be gone, and is then not in the way.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
impl Listen for UnixSocket {
    type Io = tokio::net::UnixStream;

    async fn accept(&mut self) -> io::Result<Accepted<Self::Io>> {
        Listen::accept(&mut self.listener).await
    }
}

/// TLS over TCP, for [`serve_on`](socket_io::service::serve_on).
///
/// A client may take ten seconds for its handshake; others do not wait for it.
#[derive(Debug)]
pub struct TlsListener {
    listener: TcpListener,
    tls: Tls,
}

impl TlsListener {
    /// Puts TLS around a listener.
    pub fn new(listener: TcpListener, tls: Tls) -> Self {
        Self { listener, tls }
    }
}

impl Listen for TlsListener {
    type Io = TlsStream<TcpStream>;

    async fn accept(&mut self) -> io::Result<Accepted<Self::Io>> {
        let (stream, peer) = self.listener.accept().await?;
        // Packets are small and wait for nothing; a socket that cannot be told so still works.
        let _ = stream.set_nodelay(true);
        let tls = self.tls.clone();
        Ok(Accepted::after(async move { tls.handshake(stream).await })
            .peer(peer)
            .secure())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_may_be_a_name_a_port_or_a_socket() {
        for (text, host, port, is_local) in [
            ("127.0.0.1:3000", "127.0.0.1", 3000, true),
            ("localhost:3000", "localhost", 3000, true),
            (":3000", "127.0.0.1", 3000, true),
            ("3000", "127.0.0.1", 3000, true),
            ("0.0.0.0:0", "0.0.0.0", 0, false),
            ("[::1]:80", "::1", 80, true),
            ("[::]:80", "::", 80, false),
            ("example.org:80", "example.org", 80, false),
        ] {
            let address: Address = text.parse().unwrap();
            let host = host.to_owned();
            assert_eq!(address, Address::Tcp { host, port }, "{text}");
            assert_eq!(address.is_local(), is_local, "{text}");
            assert_eq!(address.to_string().parse(), Ok(address), "{text}");
        }
        for bad in [
            "",
            "nowhere",
            "localhost:",
            "::1:80",
            "[::1]",
            "[::1:80",
            "h:70000",
            "http://h:80",
        ] {
            assert!(bad.parse::<Address>().unwrap_err().contains("HOST:PORT"), "{bad}");
        }
        assert!("unix:".parse::<Address>().is_err());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_socket_that_a_killed_server_left_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sio.sock");
        let address = Address::Unix(path.clone());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "it is left behind");
        let bound = Bound::bind(&address).await.unwrap();
        let taken = Bound::bind(&address).await.unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(bound);
        assert!(!path.exists(), "it is removed at the end");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn nothing_is_removed_but_the_own_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sio.sock");
        let address = Address::Unix(path.clone());
        std::fs::write(&path, "precious").unwrap();
        let refused = Bound::bind(&address).await.unwrap_err();
        assert!(refused.to_string().contains("not a socket"), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        std::fs::remove_file(&path).unwrap();

        let first = Bound::bind(&address).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = Bound::bind(&address).await.unwrap();
        drop(first);
        assert!(path.exists(), "it is the second one's");
        drop(second);
    }
}
