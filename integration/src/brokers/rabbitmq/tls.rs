//! RabbitMQ over TLS, with an authority of its own.

use async_trait::async_trait;

use super::{Rabbit, RabbitBroker};
use crate::brokers::certificates::Certificates;
use crate::brokers::guarded::{Entrance, Guarded, Ports};
use crate::brokers::private::free_ports;

/// A RabbitMQ that speaks TLS on one port and plainly on another.
pub type RabbitTls = Guarded<RabbitOverTls>;

/// The port with TLS.
#[derive(Debug)]
pub struct RabbitOverTls(Certificates);

impl RabbitTls {
    /// Starts a server that wants certificates of its clients.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start.
    pub async fn start_strict() -> Self {
        let wanting = "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true";
        RabbitOverTls::must_open(Certificates::signed(), "ca.pem", wanting).await
    }

    /// Starts a server whose certificate (`own.pem`) is self-signed and for the name `broker.test`.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start.
    pub async fn start_self_signed() -> Self {
        RabbitOverTls::must_open(Certificates::self_signed(), "own.pem", WANTS_NONE).await
    }

    /// Returns the URL without the authority.
    #[must_use]
    pub fn url_of_strangers(&self) -> String {
        format!("amqps://guest:guest@{}", self.address())
    }

    /// Returns `ca.pem`, `own.pem` and `own.key`.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.entrance().0
    }
}

/// Clients need no certificates.
const WANTS_NONE: &str = "ssl_options.verify = verify_none";

impl RabbitOverTls {
    async fn must_open(certificates: Result<Certificates, String>, ca: &str, lines: &str) -> RabbitTls {
        let opened = async { Self::open_with(certificates?, ca, lines).await };
        opened.await.unwrap_or_else(|why| panic!("{why}"))
    }

    async fn open_with(certificates: Certificates, ca: &str, lines: &str) -> Result<RabbitTls, String> {
        let [ca, own, key] = [ca, "own.pem", "own.key"].map(|name| certificates.file(name));
        let [port] = free_ports()?;
        let lines = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {ca}\n\
             ssl_options.certfile = {own}\nssl_options.keyfile = {key}\n{lines}"
        );
        let server = RabbitBroker::try_start_with(&[&lines]).await?;
        let ports = Ports {
            own: port,
            proxied: None,
        };
        Ok(Guarded::new(server, ports, Self(certificates)))
    }
}

#[async_trait]
impl Entrance for RabbitOverTls {
    type Server = Rabbit;

    const NAME: &'static str = "RabbitMQ over TLS";

    async fn try_open() -> Result<RabbitTls, String> {
        Self::open_with(Certificates::signed()?, "ca.pem", WANTS_NONE).await
    }

    fn url_at(&self, port: u16) -> String {
        format!("amqps://guest:guest@127.0.0.1:{port}//?ca={}", self.0.file("ca.pem"))
    }
}
