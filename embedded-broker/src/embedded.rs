//! A broker in a task of its own.

use std::io;
use std::net::SocketAddr;

use manager_api::log::Escaped;
use tokio::net::ToSocketAddrs;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::broker::Broker;
use crate::limits::Limits;
use crate::stats::Stats;

/// A broker that runs in a task of this process until it is stopped or dropped.
///
/// Dropping it stops it as [`stop`](Self::stop) does, without waiting for the end.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use embedded_broker::{EmbeddedBroker, Limits};
///
/// let limits = Limits { max_clients: 10, ..Limits::default() };
/// let broker = EmbeddedBroker::start_with("127.0.0.1:0", limits).await?;
/// assert_eq!(broker.stats().published(), 0);
/// broker.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct EmbeddedBroker {
    url: String,
    local_addr: SocketAddr,
    stats: Stats,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl EmbeddedBroker {
    /// Binds the address and serves it, with [`Limits::default`]. Port 0 takes a free port.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the address is not loopback, or what the system says about binding it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing running.
    pub async fn start(addr: impl ToSocketAddrs) -> io::Result<EmbeddedBroker> {
        EmbeddedBroker::start_with(addr, Limits::default()).await
    }

    /// Binds the address and serves it, with the limits given.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(addr: impl ToSocketAddrs, limits: Limits) -> io::Result<EmbeddedBroker> {
        let broker = Broker::bind_with(addr, limits).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        Ok(EmbeddedBroker {
            url: broker.url(),
            local_addr: broker.local_addr(),
            stats: broker.stats(),
            stop,
            task: tokio::spawn(broker.run(async move { drop(stopped.await) })),
        })
    }

    /// Returns the URL to give to Redis clients: `redis://`, the address, the port.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns a handle to its counters, which outlives it.
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }

    /// Closes the listener, sends what is queued for each client, for at most [`Limits::flush_timeout`], and closes the connections.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting; the broker stops all the same.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(error = ?Escaped(error), "embedded broker: its task did not end in order");
        }
    }
}
