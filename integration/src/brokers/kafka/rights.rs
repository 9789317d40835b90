//! Kafka with an authorizer: users have only the rights that were granted to them.

use tokio::process::Command;

use super::KafkaBroker;
use crate::brokers::private::free_ports;
use crate::tools;

/// A Kafka with the users `sio` and `other`, who may do nothing yet. Its plain listener requires no login and allows everything.
#[derive(Debug)]
pub struct KafkaRights {
    server: KafkaBroker,
    port: u16,
}

impl KafkaRights {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// As [`KafkaBroker::start`](super::super::Private::start).
    pub async fn start() -> Self {
        let [port] = free_ports().unwrap_or_else(|why| panic!("{why}"));
        let listener = format!("listener SASL {port} {port}");
        let login = "listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
                     required user_sio=\"s3cret\" user_other=\"s3cret\";";
        let settings = [
            &listener,
            login,
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
        ];
        let server = KafkaBroker::start_with(&settings).await;
        Self { server, port }
    }

    /// Returns the URL at which `user` logs in.
    #[must_use]
    pub fn url_of(&self, user: &str) -> String {
        self.url_with(&format!(
            "sasl.mechanism=PLAIN&sasl.username={user}&sasl.password=s3cret"
        ))
    }

    /// Returns the URL with properties of a login.
    #[must_use]
    pub fn url_with(&self, login: &str) -> String {
        format!("kafka://{}?security.protocol=SASL_PLAINTEXT&{login}", self.address())
    }

    /// Returns the address of the listener with a login, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the server, whose URL allows everything.
    #[must_use]
    pub fn server(&self) -> &KafkaBroker {
        &self.server
    }

    /// Grants `user` rights on a topic, or on the cluster for `-`; they are named as in Kafka's protocol, such as `READ`.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub async fn allow(&self, user: &str, topic: &str, rights: &[&str]) {
        self.change("allow", user, topic, rights).await;
    }

    /// Takes rights away that were given.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub async fn deny(&self, user: &str, topic: &str, rights: &[&str]) {
        self.change("deny", user, topic, rights).await;
    }

    async fn change(&self, verb: &str, user: &str, topic: &str, rights: &[&str]) {
        let mut command = Command::new(tools::python());
        command.arg("-B").arg(tools::script("kafka_acls.py"));
        command.args([&self.server.address(), verb, user, topic]).args(rights);
        let done = command.output().await.expect("Python runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}
