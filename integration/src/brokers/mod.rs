//! Brokers for tests.
//!
//! A [shared](shared()) one is taken, in this order, from a URL in the environment, from a container where a Docker daemon answers
//! and has or gets the image, from a server found on this machine. With `SIO_REQUIRE_DOCKER=1` nothing but a container
//! will do for what runs in containers: Redis, RabbitMQ and Kafka as they are. What was chosen, and why, goes to standard error.
//!
//! A [private](Private) one belongs to a test, which may kill, freeze and restart it: a process of this machine, always.
//!
//! Either comes in [flavours](Flavour): a new one is a small file beside the others of its broker, and a line where
//! `tests/conformance` lists them.

pub mod certificates;
pub mod kafka;
pub mod postgres;
pub mod rabbitmq;
pub mod redis;

mod container;
mod guard;
mod guarded;
mod private;
mod shared;

use async_trait::async_trait;

use crate::proxy::TcpProxy;
use container::Container;

pub use guarded::{Entrance, Guarded};
pub use kafka::KafkaBroker;
pub use postgres::PostgresBroker;
pub use private::{Kind, Private};
pub use rabbitmq::RabbitBroker;
pub use redis::RedisBroker;
pub use shared::{Origin, Shared, shared};

/// A setting of every kind of private broker: it is for a benchmark, and takes its time to start for quicker code and all processors. Tests go
/// without.
pub const FOR_LOAD: &str = "for load";

/// A broker in one of the ways it is set up, of a test's own.
#[async_trait]
pub trait Flavour: Sized + Send + Sync + 'static {
    /// Its name in failures.
    const NAME: &'static str;
    /// The variable whose value is the URL of one to be shared instead, if there is one.
    const URL_VARIABLE: Option<&'static str> = None;
    /// The reason why [`freeze`](Self::freeze) is not supported, if it is not.
    const NO_FREEZE: Option<&'static str> = None;
    /// The reason why [`line`](Self::line) is not supported, if it is not.
    const NO_LINE: Option<&'static str> = None;

    /// Starts one.
    async fn try_start() -> Result<Self, String>;

    /// Returns the URL for managers.
    fn url(&self) -> String;

    /// Returns URLs at which the harness may ask the servers what they hold; in the order of the servers, without the flavour's
    /// ceremony.
    fn direct_urls(&self) -> Vec<String> {
        vec![self.url()]
    }

    /// Kills all of it, as a crash does.
    fn kill(&mut self);

    /// Kills its processes, starts them again at the same addresses, and waits until they respond.
    ///
    /// # Panics
    ///
    /// When it does not start.
    async fn restart(&mut self);

    /// Freezes it: connections stay open, nothing responds. False, the default, if that is not supported.
    async fn freeze(&self) -> bool {
        false
    }

    /// Resumes a frozen one.
    fn thaw(&self) {}

    /// Starts a proxy before it, and returns that with the URL for managers that leads through; `None`, the default, where there is none
    /// that all connections take. At most one at a time.
    async fn line(&self) -> Option<(TcpProxy, String)> {
        None
    }

    /// Checks whether the one that [`URL_VARIABLE`](Self::URL_VARIABLE) names is alive.
    ///
    /// # Errors
    ///
    /// The reason why there is none.
    async fn check(_url: &str) -> Result<(), String> {
        Ok(())
    }

    /// Starts one in a container; `None` if this flavour runs in none.
    async fn start_contained() -> Option<Result<Contained, String>> {
        None
    }
}

/// A broker in a container.
#[derive(Debug)]
pub struct Contained {
    url: String,
    _container: Container,
}

/// Returns a channel name that no other test uses.
#[must_use]
pub fn unique_channel() -> String {
    format!("test-{}", uuid::Uuid::new_v4().simple())
}
