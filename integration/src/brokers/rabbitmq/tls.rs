//! RabbitMQ over TLS, with an authority of its own.

use std::path::Path;

use async_trait::async_trait;

use super::RabbitBroker;
use crate::brokers::private::free_ports;
use crate::brokers::{Flavour, certificates};
use crate::proxy::TcpProxy;

/// A RabbitMQ that speaks TLS on one port and plainly on another.
#[derive(Debug)]
pub struct RabbitTls {
    server: RabbitBroker,
    port: u16,
    certificates: tempfile::TempDir,
}

impl RabbitTls {
    /// Starts a server that wants certificates of its clients.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start.
    pub async fn start_strict() -> Self {
        let lines = "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true";
        Self::try_start_with(lines).await.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts a server whose certificate (`own.pem`) is self-signed and for the name `broker.test`.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start.
    pub async fn start_self_signed() -> Self {
        let certificates = tempfile::tempdir().expect("there is a temporary folder");
        certificates::make_self_signed(certificates.path());
        let started = Self::try_start_in(certificates, "own.pem", "ssl_options.verify = verify_none").await;
        started.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Returns where it speaks plainly.
    #[must_use]
    pub fn plain_address(&self) -> String {
        self.server.address()
    }

    /// Returns the URL without the authority.
    #[must_use]
    pub fn url_of_strangers(&self) -> String {
        format!("amqps://guest:guest@127.0.0.1:{}", self.port)
    }

    /// Returns the folder with `ca.pem`, `own.pem` and `own.key`.
    #[must_use]
    pub fn certificates(&self) -> &Path {
        self.certificates.path()
    }

    async fn try_start_with(lines: &str) -> Result<Self, String> {
        let certificates = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        certificates::make(certificates.path());
        Self::try_start_in(certificates, "ca.pem", lines).await
    }

    async fn try_start_in(certificates: tempfile::TempDir, ca: &str, lines: &str) -> Result<Self, String> {
        let path = certificates.path().display();
        let [port] = free_ports()?;
        let lines = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {path}/{ca}\n\
             ssl_options.certfile = {path}/own.pem\nssl_options.keyfile = {path}/own.key\n{lines}"
        );
        let server = RabbitBroker::try_start_with(&[&lines]).await?;
        Ok(Self {
            server,
            port,
            certificates,
        })
    }
}

#[async_trait]
impl Flavour for RabbitTls {
    const NAME: &'static str = "RabbitMQ over TLS";

    async fn try_start() -> Result<Self, String> {
        Self::try_start_with("ssl_options.verify = verify_none").await
    }

    fn url(&self) -> String {
        let ca = self.certificates().join("ca.pem");
        format!("{}//?ca={}", self.url_of_strangers(), ca.display())
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
        let target = format!("127.0.0.1:{}", self.port);
        let proxy = TcpProxy::start(target.clone()).await;
        let through = proxy.addr().to_string();
        Some((proxy, self.url().replace(&target, &through)))
    }
}
