//! TLS of a server: a certificate that may change while it runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use manager_api::log::quietly;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::small_file;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest file of a chain or a key, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The server's side of TLS. Clones share the certificate.
///
/// ```no_run
/// use gateway::listen::TlsListener;
/// use gateway::tls::Tls;
/// use socket_io::SocketIo;
/// use socket_io::service::{NotFound, serve_on};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::new("chain.pem", "key.pem")?;
/// tokio::spawn(tls.clone().watch()); // a renewed certificate is taken over by itself
/// let listener = tokio::net::TcpListener::bind("0.0.0.0:443").await?;
/// serve_on(TlsListener::new(listener, tls), SocketIo::new(), NotFound, std::future::pending()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    files: Arc<Files>,
}

/// The files of a certificate, and what they held when they were last good.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

/// When files were changed, and how long they are.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// Reads a certificate, with those above it, and its private key, both in PEM. May block.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or holds something else, or if the key is not that of the certificate.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> io::Result<Self> {
        let (certificate, key) = (certificate.into(), key.into());
        let current = read(&certificate, &key)?;
        let files = Arc::new(Files {
            certificate,
            key,
            current: RwLock::new(Arc::new(current)),
        });
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let mut config = config.with_no_client_auth().with_cert_resolver(files.clone());
        // What WebSockets are spoken over.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            files,
        })
    }

    /// Reads the files again, for connections from now on. May block.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); the certificate stays as it was.
    pub fn reload(&self) -> io::Result<()> {
        let current = read(&self.files.certificate, &self.files.key)?;
        *self.files.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
        Ok(())
    }

    /// Looks at the files each second, and reads them again when they have changed. What cannot be read is logged, and the certificate stays.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the watch, nothing else. It does not complete by itself.
    pub async fn watch(self) {
        let mut known = self.stamp();
        loop {
            tokio::time::sleep(LOOK).await;
            let tls = self.clone();
            // A file system may take its time, as one of the network does.
            let looked = tokio::task::spawn_blocking(move || tls.look(known)).await;
            // A panic is none of ours; the next look may go well.
            known = looked.unwrap_or(known);
        }
    }

    /// Reads the files again if they have changed. May block.
    fn look(&self, known: Stamp) -> Stamp {
        let stamp = self.stamp();
        if stamp == known {
            return known;
        }
        match self.reload() {
            Ok(()) => quietly(
                || tracing::info!(target: "gateway", file = %self.files.certificate.display(), "the certificate was read again"),
            ),
            Err(error) => quietly(|| tracing::error!(target: "gateway", %error, "the certificate stays as it was")),
        }
        stamp
    }

    /// Accepts a connection.
    ///
    /// # Errors
    ///
    /// If the client does not speak TLS, knows none of the versions 1.2 and 1.3, or takes more than ten seconds.
    pub async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream));
        handshake.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    fn stamp(&self) -> Stamp {
        [&self.files.certificate, &self.files.key].map(|file| {
            let metadata = std::fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = &self.files.certificate;
        f.debug_struct("Tls")
            .field("certificate", certificate)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Files {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(certificate: &Path, key: &Path) -> io::Result<CertifiedKey> {
    let unusable = |file: &Path, why: &dyn fmt::Display| io::Error::other(format!("{}: {why}", file.display()));
    // A pipe would be read once, and then wait for ever.
    for file in [certificate, key] {
        let metadata = std::fs::metadata(file).map_err(|error| unusable(file, &error))?;
        if !metadata.is_file() {
            return Err(unusable(file, &"it is not a regular file"));
        }
    }
    let contents = |file: &Path| small_file::read(file, MAX_FILE_BYTES).map_err(|error| unusable(file, &error));
    let (chain, private) = (contents(certificate)?, contents(key)?);
    let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| unusable(certificate, &error))?;
    if chain.is_empty() {
        return Err(unusable(certificate, &"there is no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_slice(&private).map_err(|error| unusable(key, &error))?;
    let private = ring::sign::any_supported_type(&private).map_err(|error| unusable(key, &error))?;
    let certified = CertifiedKey::new(chain, private);
    match certified.keys_match() {
        // A kind of key that cannot be compared shows in the first handshake.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(_) => Err(unusable(
            key,
            &format!("not the key of the certificate in {}", certificate.display()),
        )),
    }
}
