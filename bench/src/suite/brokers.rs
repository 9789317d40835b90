//! Brokers that a suite starts for itself, so that figures do not depend on the other work of a shared one.

use std::any::Any;

use anyhow::{Error, Result};
use integration::brokers::{FOR_LOAD, Kind, Private, kafka::Kafka, rabbitmq::Rabbit, redis::Redis};

/// A kind of broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    /// Redis, without a limit for subscribers that are behind.
    Redis,
    /// RabbitMQ.
    Rabbitmq,
    /// Apache Kafka, with three partitions.
    Kafka,
}

/// The broker of the rows that are run now, if they need one. It stays while they need the same.
#[derive(Default)]
pub(super) struct Brokers(Option<Running>);

/// A broker that runs, ended when it is dropped.
pub(super) struct Running {
    pub(super) kind: Broker,
    /// The URL for managers.
    pub(super) url: String,
    /// As `host:port`.
    pub(super) address: String,
    /// The id of the process.
    pub(super) id: u32,
    _server: Box<dyn Any + Send>,
}

impl Brokers {
    /// Ends the broker that runs unless it is the one that is needed, which is started otherwise.
    ///
    /// # Errors
    ///
    /// If it is not installed, or does not start.
    pub(super) async fn need(&mut self, kind: Option<Broker>) -> Result<Option<&Running>> {
        if self.0.as_ref().map(|running| running.kind) != kind {
            // The one before must not take processor time any more.
            self.0 = None;
            if let Some(kind) = kind {
                self.0 = Some(Running::start(kind).await?);
            }
        }
        Ok(self.0.as_ref())
    }
}

impl Running {
    async fn start(kind: Broker) -> Result<Self> {
        match kind {
            Broker::Redis => {
                let unlimited = ["--client-output-buffer-limit", "pubsub", "0", "0", "0"];
                Self::of::<Redis>(kind, &unlimited).await
            }
            Broker::Rabbitmq => Self::of::<Rabbit>(kind, &[]).await,
            // python-socketio leaves it to the broker to make the topic.
            Broker::Kafka => Self::of::<Kafka>(kind, &["auto.create.topics.enable=true"]).await,
        }
    }

    async fn of<K: Kind>(kind: Broker, settings: &[&str]) -> Result<Self> {
        let settings = [&[FOR_LOAD], settings].concat();
        let server = Private::<K>::try_start_with(&settings).await.map_err(Error::msg)?;
        Ok(Self {
            kind,
            url: server.url(),
            address: server.address(),
            id: server.pid(),
            _server: Box::new(server),
        })
    }
}
