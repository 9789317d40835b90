//! Kafka over TLS, with an authority of its own.

use std::fs;

use async_trait::async_trait;

use super::{Kafka, open};
use crate::brokers::certificates::Certificates;
use crate::brokers::guarded::{Entrance, Guarded};

/// A Kafka that speaks TLS on one port and plainly on another.
pub type KafkaTls = Guarded<KafkaOverTls>;

/// The listener with TLS.
#[derive(Debug)]
pub struct KafkaOverTls(Certificates);

impl KafkaTls {
    /// Starts a server that wants certificates of its clients.
    ///
    /// # Panics
    ///
    /// As [`KafkaBroker::start`](super::super::Private::start).
    pub async fn start_strict() -> Self {
        let wanting = "ssl.client.auth=required\nssl.truststore.type=PEM\nssl.truststore.location=";
        let opened = async {
            let certificates = Certificates::signed()?;
            let lines = format!("{wanting}{}", certificates.file("ca.pem"));
            KafkaOverTls::open_with(certificates, &lines).await
        };
        opened.await.unwrap_or_else(|why: String| panic!("{why}"))
    }

    /// Starts a server whose certificate (`own.pem`) is self-signed and for the name `broker.test`.
    ///
    /// # Panics
    ///
    /// As [`KafkaBroker::start`](super::super::Private::start).
    pub async fn start_self_signed() -> Self {
        let opened = async { KafkaOverTls::open_with(Certificates::self_signed()?, WANTS_NONE).await };
        opened.await.unwrap_or_else(|why: String| panic!("{why}"))
    }

    /// Returns the URL without the authority.
    #[must_use]
    pub fn url_of_strangers(&self) -> String {
        format!("kafka://{}?security.protocol=SSL", self.address())
    }

    /// Returns `own.pem`, `own.key` and, unless it is self-signed, `ca.pem`.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.entrance().0
    }
}

/// Clients need no certificates.
const WANTS_NONE: &str = "ssl.client.auth=none";

impl KafkaOverTls {
    async fn open_with(certificates: Certificates, lines: &str) -> Result<KafkaTls, String> {
        let keystore =
            keystore(&certificates).map_err(|error| format!("Kafka's certificate cannot be written: {error}"))?;
        open(Self(certificates), "TLS", "SSL", &[&keystore, lines]).await
    }
}

/// Writes the certificate and its key into the one file that Kafka wants, and returns the settings that name it.
fn keystore(certificates: &Certificates) -> std::io::Result<String> {
    let [own, key, both] = ["own.pem", "own.key", "keystore.pem"].map(|name| certificates.file(name));
    fs::write(&both, fs::read_to_string(key)? + &fs::read_to_string(own)?)?;
    Ok(format!("ssl.keystore.type=PEM\nssl.keystore.location={both}"))
}

#[async_trait]
impl Entrance for KafkaOverTls {
    type Server = Kafka;

    const NAME: &'static str = "Kafka over TLS";

    async fn try_open() -> Result<KafkaTls, String> {
        Self::open_with(Certificates::signed()?, WANTS_NONE).await
    }

    fn url_at(&self, port: u16) -> String {
        format!(
            "kafka://127.0.0.1:{port}?security.protocol=SSL&ca={}",
            self.0.file("ca.pem")
        )
    }
}
