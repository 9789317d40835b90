//! Servers and write-only managers of python-socketio, each in a process of its own.

use std::time::Duration;

use serde_json::{Value, json};

use crate::DEADLINE;
use crate::brokers::{KafkaBroker, RabbitBroker, RedisBroker};
use crate::driven::Driven;

/// The managers of python-socketio, and the broker each of them needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PyManager {
    /// `AsyncRedisManager`, in workers `RedisManager`: Redis.
    Redis,
    /// `KombuManager`: RabbitMQ.
    Kombu,
    /// `AsyncAioPikaManager`: RabbitMQ.
    AioPika,
    /// `KafkaManager`, mended (`clients/managers.py`): Kafka. The topic must exist.
    Kafka,
}

impl PyManager {
    /// Returns the broker that all tests share.
    pub async fn shared_url(self) -> &'static str {
        match self {
            Self::Redis => RedisBroker::shared().await.url(),
            Self::Kombu | Self::AioPika => RabbitBroker::shared().await.url(),
            Self::Kafka => KafkaBroker::shared().await.url(),
        }
    }

    /// The script with the kind of server that takes this manager.
    fn server(self) -> &'static str {
        match self {
            Self::Redis | Self::AioPika => "py_server.py",
            Self::Kombu | Self::Kafka => "py_server_sync.py",
        }
    }

    /// Its name in the scripts.
    fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Kombu => "kombu",
            Self::AioPika => "aio_pika",
            Self::Kafka => "kafka",
        }
    }
}

/// A python-socketio server that shares a channel with others. Dropping it kills it.
#[derive(Debug)]
pub struct PyServer {
    driven: Driven,
    url: String,
}

impl PyServer {
    /// Starts a server; returns once it accepts clients and receives published messages.
    ///
    /// # Panics
    ///
    /// When that takes longer than [`DEADLINE`].
    pub async fn start(manager: PyManager, url: &str, channel: &str) -> Self {
        let mut driven = Driven::python(manager.server(), &[manager.name(), url, channel]);
        let listening = driven.until(DEADLINE, |event| event["event"] == "listening").await;
        Self {
            driven,
            url: format!("http://127.0.0.1:{}", listening["port"]),
        }
    }

    /// Returns where clients connect.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Emits `name` with the JSON array `args`, to `room` or to all clients.
    ///
    /// # Panics
    ///
    /// When the server reports an error.
    pub async fn emit(&mut self, name: &str, args: Value, room: Option<&str>) {
        self.call(json!({ "cmd": "emit", "name": name, "args": args, "room": room }))
            .await;
    }

    /// Carries out a command of `clients/README.md` and returns its result.
    ///
    /// # Panics
    ///
    /// When the server reports an error.
    pub async fn call(&mut self, command: Value) -> Value {
        self.driven.call(command).await
    }

    /// Returns the first event for which `wanted` holds; those before it stay.
    ///
    /// # Panics
    ///
    /// When none comes in time.
    pub async fn until(&mut self, deadline: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        self.driven.until(deadline, wanted).await
    }

    /// Returns the script, for commands without a method here.
    pub fn driven(&mut self) -> &mut Driven {
        &mut self.driven
    }
}

/// A manager of python-socketio with `write_only=True`, as a worker holds it. Dropping it kills it.
#[derive(Debug)]
pub struct PyEmitter {
    driven: Driven,
    host_id: String,
}

impl PyEmitter {
    /// Starts an emitter.
    ///
    /// # Panics
    ///
    /// When that takes longer than [`DEADLINE`].
    pub async fn start(manager: PyManager, url: &str, channel: &str) -> Self {
        let mut driven = Driven::python("py_emit.py", &[manager.name(), url, channel]);
        let ready = driven.until(DEADLINE, |event| event["event"] == "ready").await;
        let host_id = ready["host_id"].as_str().unwrap_or_default().to_owned();
        Self { driven, host_id }
    }

    /// Returns the id by which its messages name it.
    #[must_use]
    pub fn host_id(&self) -> &str {
        &self.host_id
    }

    /// Emits `name` with the JSON array `args`, to `room` or to all clients.
    ///
    /// # Panics
    ///
    /// When the emitter reports an error.
    pub async fn emit(&mut self, name: &str, args: Value, room: Option<&str>) {
        self.call(json!({ "cmd": "emit", "name": name, "args": args, "room": room }))
            .await;
    }

    /// Carries out a command of `clients/README.md` and returns its result.
    ///
    /// # Panics
    ///
    /// When the emitter reports an error.
    pub async fn call(&mut self, command: Value) -> Value {
        self.driven.call(command).await
    }
}
