//! Kafka with a login: SASL/PLAIN.

use async_trait::async_trait;

use super::{Kafka, open};
use crate::brokers::guarded::{Entrance, Guarded};

/// A Kafka with a listener where clients must log in, and its plain one.
pub type KafkaSasl = Guarded<KafkaWithLogin>;

/// The listener where clients must log in.
#[derive(Debug)]
pub struct KafkaWithLogin;

#[async_trait]
impl Entrance for KafkaWithLogin {
    type Server = Kafka;

    const NAME: &'static str = "Kafka with SASL/PLAIN";

    async fn try_open() -> Result<KafkaSasl, String> {
        let [login, login_by_proxy] = ["sasl", "saslproxied"].map(|listener| {
            format!(
                "listener.name.{listener}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
                 required username=\"broker\" password=\"n0ne\" user_sio=\"s3cret\";"
            )
        });
        open(Self, "SASL", "SASL_PLAINTEXT", &[&login, &login_by_proxy]).await
    }

    fn url_at(&self, port: u16) -> String {
        format!(
            "kafka://127.0.0.1:{port}?security.protocol=SASL_PLAINTEXT&sasl.mechanism=PLAIN&sasl.username=sio&sasl.password=s3cret"
        )
    }
}
