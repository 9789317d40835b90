//! Kafka with a login: SASL/PLAIN.

use async_trait::async_trait;

use super::KafkaBroker;
use crate::brokers::Flavour;
use crate::brokers::private::free_ports;
use crate::proxy::TcpProxy;

/// A Kafka with a listener where clients must log in, and its plain one.
#[derive(Debug)]
pub struct KafkaSasl {
    server: KafkaBroker,
    port: u16,
    /// Where a proxy leads, and where its clients are told to stay.
    proxied: (u16, u16),
}

/// The listeners of `server.properties`, and one more that wants a login, for clients that come by a proxy.
const PROTOCOLS: &str = "listener.security.protocol.map=\
     PLAIN:PLAINTEXT,PROXIED:PLAINTEXT,SASL:SASL_PLAINTEXT,SASLPROXIED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT";

fn url_at(port: u16) -> String {
    format!(
        "kafka://127.0.0.1:{port}?security.protocol=SASL_PLAINTEXT&sasl.mechanism=PLAIN&sasl.username=sio&sasl.password=s3cret"
    )
}

#[async_trait]
impl Flavour for KafkaSasl {
    const NAME: &'static str = "Kafka with SASL/PLAIN";

    async fn try_start() -> Result<Self, String> {
        let [port, target, told] = free_ports()?;
        let own = format!("listener SASL {port} {port}");
        let proxied = format!("listener SASLPROXIED {target} {told}");
        let [login, login_by_proxy] = ["sasl", "saslproxied"].map(|listener| {
            format!(
                "listener.name.{listener}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
                 required username=\"broker\" password=\"n0ne\" user_sio=\"s3cret\";"
            )
        });
        let server = KafkaBroker::try_start_with(&[&own, &proxied, PROTOCOLS, &login, &login_by_proxy]).await?;
        Ok(Self {
            server,
            port,
            proxied: (target, told),
        })
    }

    fn url(&self) -> String {
        url_at(self.port)
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
        Some((proxy, url_at(told)))
    }
}
