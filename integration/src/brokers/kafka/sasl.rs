//! Kafka with a login: SASL/PLAIN.

use async_trait::async_trait;

use super::KafkaBroker;
use crate::brokers::Flavour;
use crate::brokers::private::free_ports;

/// A Kafka with a listener where clients must log in, and its plain one.
#[derive(Debug)]
pub struct KafkaSasl {
    server: KafkaBroker,
    port: u16,
}

#[async_trait]
impl Flavour for KafkaSasl {
    const NAME: &'static str = "Kafka with SASL/PLAIN";

    async fn try_start() -> Result<Self, String> {
        let [port] = free_ports()?;
        let listener = format!("listener SASL {port} {port}");
        let login = "listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
                     required username=\"broker\" password=\"n0ne\" user_sio=\"s3cret\";";
        let server = KafkaBroker::try_start_with(&[&listener, login]).await?;
        Ok(Self { server, port })
    }

    fn url(&self) -> String {
        format!(
            "kafka://127.0.0.1:{}?security.protocol=SASL_PLAINTEXT&sasl.mechanism=PLAIN&sasl.username=sio&sasl.password=s3cret",
            self.port
        )
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
}
