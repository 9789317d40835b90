//! Kafka over TLS, with an authority of its own.

use std::path::Path;

use async_trait::async_trait;

use super::KafkaBroker;
use crate::brokers::private::free_ports;
use crate::brokers::{Flavour, certificates};
use crate::proxy::TcpProxy;

/// The listeners of `server.properties`, and two that speak TLS: one for clients, one for clients that come by a proxy.
const PROTOCOLS: &str = "listener.security.protocol.map=\
     PLAIN:PLAINTEXT,PROXIED:PLAINTEXT,TLS:SSL,TLSPROXIED:SSL,CONTROLLER:PLAINTEXT";

/// A Kafka that speaks TLS on one port and plainly on another.
#[derive(Debug)]
pub struct KafkaTls {
    server: KafkaBroker,
    port: u16,
    /// Where a proxy leads, and where its clients are told to stay.
    proxied: (u16, u16),
    certificates: tempfile::TempDir,
}

impl KafkaTls {
    /// Starts a server that wants certificates of its clients.
    ///
    /// # Panics
    ///
    /// As [`KafkaBroker::start`](super::super::Private::start).
    pub async fn start_strict() -> Self {
        let certificates = tempfile::tempdir().expect("there is a temporary folder");
        certificates::make(certificates.path());
        let trust = format!(
            "ssl.client.auth=required\nssl.truststore.type=PEM\nssl.truststore.location={}",
            certificates.path().join("ca.pem").display()
        );
        let started = Self::try_start_in(certificates, &trust).await;
        started.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts a server whose certificate (`own.pem`) is self-signed and for the name `broker.test`.
    ///
    /// # Panics
    ///
    /// As [`KafkaBroker::start`](super::super::Private::start).
    pub async fn start_self_signed() -> Self {
        let certificates = tempfile::tempdir().expect("there is a temporary folder");
        certificates::make_self_signed(certificates.path());
        let started = Self::try_start_in(certificates, "ssl.client.auth=none").await;
        started.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Returns the server, whose own URL leads to where it speaks plainly.
    #[must_use]
    pub fn server(&self) -> &KafkaBroker {
        &self.server
    }

    /// Returns the address where it speaks TLS, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the URL without the authority.
    #[must_use]
    pub fn url_of_strangers(&self) -> String {
        format!("kafka://{}?security.protocol=SSL", self.address())
    }

    /// Returns the folder with `own.pem`, `own.key` and, unless it is self-signed, `ca.pem`.
    #[must_use]
    pub fn certificates(&self) -> &Path {
        self.certificates.path()
    }

    async fn try_start_in(certificates: tempfile::TempDir, lines: &str) -> Result<Self, String> {
        let folder = certificates.path();
        let read = |name: &str| std::fs::read_to_string(folder.join(name));
        let both = read("own.key").and_then(|key| Ok(key + &read("own.pem")?));
        let keystore = folder.join("keystore.pem");
        both.and_then(|both| std::fs::write(&keystore, both))
            .map_err(|error| format!("Kafka's certificate cannot be written: {error}"))?;
        let [port, target, told] = free_ports()?;
        let (own, proxied) = (
            format!("listener TLS {port} {port}"),
            format!("listener TLSPROXIED {target} {told}"),
        );
        let keystore = format!("ssl.keystore.type=PEM\nssl.keystore.location={}", keystore.display());
        let server = KafkaBroker::try_start_with(&[&own, &proxied, PROTOCOLS, &keystore, lines]).await?;
        Ok(Self {
            server,
            port,
            proxied: (target, told),
            certificates,
        })
    }

    fn url_at(&self, port: u16) -> String {
        let ca = self.certificates().join("ca.pem");
        format!("kafka://127.0.0.1:{port}?security.protocol=SSL&ca={}", ca.display())
    }
}

#[async_trait]
impl Flavour for KafkaTls {
    const NAME: &'static str = "Kafka over TLS";

    async fn try_start() -> Result<Self, String> {
        let certificates = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        certificates::make(certificates.path());
        Self::try_start_in(certificates, "ssl.client.auth=none").await
    }

    fn url(&self) -> String {
        self.url_at(self.port)
    }

    fn direct_urls(&self) -> Vec<String> {
        vec![self.server.url()]
    }

    fn kill(&mut self) {
        self.server.kill();
    }

    async fn restart(&mut self) {
        self.server.restart().await;
    }

    async fn freeze(&self) -> bool {
        self.server.freeze().await;
        true
    }

    fn thaw(&self) {
        self.server.thaw();
    }

    async fn line(&self) -> Option<(TcpProxy, String)> {
        let (target, told) = self.proxied;
        let proxy = TcpProxy::start_on(told, format!("127.0.0.1:{target}")).await;
        Some((proxy, self.url_at(told)))
    }
}
