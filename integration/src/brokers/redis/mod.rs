//! Redis: standalone, and its flavours.

mod cluster;
mod sentinel;
mod tls;
mod valkey;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use crate::DEADLINE;

use super::container::{Container, Spec};
use super::private::{Kind, Private, free_ports, until_answers};
use super::{Contained, FOR_LOAD, Shared, shared};

pub use cluster::RedisCluster;
pub use sentinel::RedisSentinel;
pub use tls::RedisTls;
pub use valkey::Valkey;

/// The image that is run unless `SIO_TEST_REDIS_IMAGE` names another.
const IMAGE: &str = "redis:7.2.4";
/// The longest time until a server answers its first PING.
const PATIENCE: Duration = Duration::from_secs(60);
/// The timeout of a single PING.
const LOOK: Duration = Duration::from_secs(2);

/// A Redis server of a test's own. Its settings are arguments, as `--client-output-buffer-limit`, `pubsub 1mb 1mb 1`.
pub type RedisBroker = Private<Redis>;

impl RedisBroker {
    /// Returns the Redis that all tests of this process share; the first call finds or starts it.
    ///
    /// # Panics
    ///
    /// If it is not installed. The message says what to install.
    pub async fn shared() -> &'static Shared {
        shared::<Self>().await
    }
}

/// `redis-server` as a private broker.
#[derive(Debug)]
pub struct Redis {
    program: &'static str,
    port: u16,
    arguments: Vec<String>,
}

#[async_trait]
impl Kind for Redis {
    const NAME: &'static str = "Redis";
    const URL_VARIABLE: &'static str = "SIO_TEST_REDIS_URL";
    const PATIENCE: Duration = PATIENCE;
    const INSTALL: &'static str = "no Redis for the tests: set SIO_TEST_REDIS_URL, or start Docker, or install \
         redis-server (Debian: apt-get install redis-server); ./test does that where it may";

    fn prepare(settings: &[&str], _folder: &Path) -> Result<Self, String> {
        let [port] = free_ports()?;
        let arguments = settings.iter().filter(|&&argument| argument != FOR_LOAD);
        let arguments = arguments.map(|&argument| argument.to_owned()).collect();
        Ok(Self {
            program: "redis-server",
            port,
            arguments,
        })
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn url(&self) -> String {
        format!("redis://{}/0", self.address())
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(self.program);
        // A sentinel has its configuration first, and knows no persistence.
        if self.arguments.iter().any(|argument| argument == "--sentinel") {
            command.args(&self.arguments);
        } else {
            command.args(["--save", "", "--appendonly", "no"]).args(&self.arguments);
        }
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .current_dir(folder);
        command
    }

    async fn ping(url: &str) -> Result<(), String> {
        ping(url).await
    }

    async fn start_contained() -> Option<Result<Contained, String>> {
        Some(contained().await)
    }
}

async fn contained() -> Result<Contained, String> {
    let image = std::env::var("SIO_TEST_REDIS_IMAGE").unwrap_or_else(|_| IMAGE.to_owned());
    let bind = [
        "redis-server",
        "--bind",
        "0.0.0.0",
        "--protected-mode",
        "no",
        "--save",
        "",
    ];
    let spec = Spec {
        image: &image,
        port: 6379,
        ready: Some("Ready to accept connections"),
        command: &bind,
    };
    let container = Container::start(&spec).await?;
    let url = format!("redis://{}/0", container.address);
    until_answers(PATIENCE, || ping(&url)).await?;
    Ok(Contained {
        url,
        _container: container,
    })
}

/// Checks whether a Redis is alive.
///
/// # Errors
///
/// The reason why there is none.
pub async fn ping(url: &str) -> Result<(), String> {
    ask_within::<String>(LOOK, url, ::redis::Cmd::new().arg("PING"))
        .await
        .map(drop)
}

/// Sends one command to a Redis and returns its reply.
///
/// # Errors
///
/// The reason why there is no reply, or the error reply.
pub async fn ask<T: ::redis::FromRedisValue>(url: &str, command: &::redis::Cmd) -> Result<T, String> {
    ask_within(DEADLINE, url, command).await
}

async fn ask_within<T: ::redis::FromRedisValue>(
    limit: Duration,
    url: &str,
    command: &::redis::Cmd,
) -> Result<T, String> {
    // The client's own limit of half a second is too short for a busy machine.
    let patient = ::redis::AsyncConnectionConfig::new()
        .set_response_timeout(Some(limit))
        .set_connection_timeout(Some(limit));
    let ask = async {
        let client = ::redis::Client::open(url)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
        command.query_async::<T>(&mut connection).await
    };
    match timeout(limit, ask).await {
        Ok(answer) => answer.map_err(|error| format!("{url} does not answer: {error}")),
        Err(_) => Err(format!("{url} does not answer in time")),
    }
}
