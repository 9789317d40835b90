//! Redis over TLS, with an authority of its own.

use async_trait::async_trait;

use super::RedisBroker;
use crate::brokers::private::free_ports;
use crate::brokers::{Flavour, certificates};
use crate::proxy::TcpProxy;

/// A Redis that speaks TLS on one port and plainly on another.
#[derive(Debug)]
pub struct RedisTls {
    server: RedisBroker,
    port: u16,
    certificates: tempfile::TempDir,
}

#[async_trait]
impl Flavour for RedisTls {
    const NAME: &'static str = "Redis over TLS";

    async fn try_start() -> Result<Self, String> {
        let certificates = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        certificates::make(certificates.path());
        let file = |name: &str| certificates.path().join(name).display().to_string();
        let (ca, own, key) = (file("ca.pem"), file("own.pem"), file("own.key"));
        let [port] = free_ports()?;
        let server = RedisBroker::try_start_with(&[
            "--tls-port",
            &port.to_string(),
            "--tls-ca-cert-file",
            &ca,
            "--tls-cert-file",
            &own,
            "--tls-key-file",
            &key,
            "--tls-auth-clients",
            "no",
        ])
        .await?;
        Ok(Self {
            server,
            port,
            certificates,
        })
    }

    fn url(&self) -> String {
        let ca = self.certificates.path().join("ca.pem");
        format!("rediss://127.0.0.1:{}?ca={}", self.port, ca.display())
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
