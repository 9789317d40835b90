//! Brokers for tests.
//!
//! A shared one is taken, in this order, from a URL in the environment, from a container where a Docker daemon answers
//! and has or gets the image, from a server found on this machine. With `SIO_REQUIRE_DOCKER=1` nothing but a container
//! will do. What was chosen, and why, goes to standard error.

pub mod kafka;
pub mod rabbitmq;
pub mod redis;

mod container;
mod guard;

use std::sync::LazyLock;

use tokio::runtime::Runtime;

pub use kafka::{KafkaBroker, SharedKafka};
pub use rabbitmq::{RabbitBroker, SharedRabbit};
pub use redis::{RedisBroker, SharedRedis};

/// Where a shared broker comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A URL in the environment.
    Url,
    /// A container.
    Container,
    /// A server that the harness started on this machine.
    Local,
}

/// Returns a channel name that no other test uses.
#[must_use]
pub fn unique_channel() -> String {
    format!("test-{}", uuid::Uuid::new_v4().simple())
}

/// What shared brokers live on: each test has a runtime of its own, which ends with it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime for the brokers can be had")
});

/// Returns whether only a container will do.
fn docker_required() -> bool {
    std::env::var("SIO_REQUIRE_DOCKER").is_ok_and(|value| value == "1")
}
