//! The embedded broker: publish/subscribe in Redis' own protocol, on loopback, with nothing to install.
//!
//! It exists for the first minute with `sio` and for tests. It speaks enough of RESP2 and RESP3 that `manager-redis`,
//! `redis-cli` and the Redis client of any language can publish and subscribe, and nothing else: it stores no data, knows no
//! users, and therefore **serves one machine only**. It refuses to bind an address that is not loopback. Between machines use
//! a real Redis or Valkey and pass its address with `--url`.
//!
//! | module | what |
//! |---|---|
//! | `codec` | bytes to commands within limits, replies to bytes |
//! | `session` | what each command does |
//! | `topics` | who is subscribed to what |
//! | `outbox` | what one client has yet to be sent, bounded |
//! | `connection` | one client's socket |
//! | `glob` | the patterns of PSUBSCRIBE |

mod codec;
mod connection;
#[cfg(fuzzing)]
pub mod fuzzing;
mod glob;
mod limits;
mod outbox;
mod session;
#[cfg(test)]
mod tests;
mod topics;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use manager_api::LimitedLog;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use limits::Limits;
use topics::Topics;

/// A bound publish/subscribe server that speaks Redis' protocol to this machine.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let broker = emitter_cli::broker::Broker::bind("127.0.0.1:0").await?;
/// println!("redis-cli -u {} subscribe socketio", broker.url());
/// broker.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Broker {
    listener: TcpListener,
    local_addr: SocketAddr,
    shared: Arc<Shared>,
}

impl Broker {
    /// Binds the address, with [`Limits::default`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the address is not loopback, and whatever the system says about binding it.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Broker> {
        Broker::bind_with(addr, Limits::default()).await
    }

    /// Binds the address, with the limits given.
    ///
    /// # Errors
    ///
    /// As [`Broker::bind`].
    pub async fn bind_with(addr: impl ToSocketAddrs, limits: Limits) -> io::Result<Broker> {
        let listener = TcpListener::bind(addr).await?;
        let local_addr = listener.local_addr()?;
        if !local_addr.ip().is_loopback() {
            let reason = format!("the embedded broker has no access control and binds loopback only, not {local_addr}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let shared = Arc::new(Shared {
            limits,
            topics: Topics::default(),
            counters: Counters::default(),
        });
        Ok(Broker {
            listener,
            local_addr,
            shared,
        })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The URL to give to Redis clients.
    pub fn url(&self) -> String {
        format!("redis://{}", self.local_addr)
    }

    /// A handle to its counters that outlives [`Broker::run`].
    pub fn stats(&self) -> Stats {
        Stats {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Serves clients until `shutdown` completes, then sends what is queued for each, for at most a second, and returns.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the listener and every connection at once.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Broker { listener, shared, .. } = self;
        let (stop, stopped) = watch::channel(());
        let mut clients = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => accept(&shared, &mut clients, stream, stopped.clone()),
                    Err(error) => pause_after(&error).await,
                },
                Some(_) = clients.join_next(), if !clients.is_empty() => {}
            }
        }
        drop(listener);
        drop(stop);
        while clients.join_next().await.is_some() {}
    }
}

/// Starts serving a connection, or closes it when there are too many.
fn accept(shared: &Arc<Shared>, clients: &mut JoinSet<()>, stream: TcpStream, stopped: watch::Receiver<()>) {
    static REFUSED: LimitedLog = LimitedLog::new();
    while clients.try_join_next().is_some() {} // who has left does not count
    if clients.len() >= shared.limits.num_clients {
        shared.counters.refused_clients.fetch_add(1, Ordering::Relaxed);
        if let Some(suppressed) = REFUSED.pass() {
            tracing::warn!(
                limit = shared.limits.num_clients,
                suppressed,
                "embedded broker: too many clients, connection refused"
            );
        }
        // One line into an empty socket buffer: it fits or it is lost, and nothing waits for it.
        let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
        return;
    }
    let id = shared.counters.connections.fetch_add(1, Ordering::Relaxed) + 1;
    clients.spawn(connection::serve(Arc::clone(shared), id, stream, stopped));
}

/// Accepting fails for a while when descriptors run out: try again soon, not in a busy loop.
async fn pause_after(error: &io::Error) {
    static FAILED: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = FAILED.pass() {
        tracing::warn!(%error, suppressed, "embedded broker: cannot accept a connection");
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// What all connections of a broker share.
#[derive(Debug)]
struct Shared {
    limits: Limits,
    topics: Topics,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    refused_clients: AtomicU64,
    slow_clients: AtomicU64,
    protocol_errors: AtomicU64,
    published: AtomicU64,
    delivered: AtomicU64,
}

/// Counters of a running broker, readable at any time.
#[derive(Debug, Clone)]
pub struct Stats {
    shared: Arc<Shared>,
}

impl Stats {
    /// Connections accepted since the start.
    pub fn connections(&self) -> u64 {
        self.shared.counters.connections.load(Ordering::Relaxed)
    }

    /// Connections refused because [`Limits::num_clients`] were open.
    pub fn refused_clients(&self) -> u64 {
        self.shared.counters.refused_clients.load(Ordering::Relaxed)
    }

    /// Subscribers disconnected because they did not read as fast as messages came.
    pub fn slow_clients(&self) -> u64 {
        self.shared.counters.slow_clients.load(Ordering::Relaxed)
    }

    /// Connections closed because of bytes that are no command, or one over a limit.
    pub fn protocol_errors(&self) -> u64 {
        self.shared.counters.protocol_errors.load(Ordering::Relaxed)
    }

    /// Messages accepted from publishers.
    pub fn published(&self) -> u64 {
        self.shared.counters.published.load(Ordering::Relaxed)
    }

    /// Messages queued for subscribers: one for each that receives it.
    pub fn delivered(&self) -> u64 {
        self.shared.counters.delivered.load(Ordering::Relaxed)
    }

    /// How many subscriptions a channel has at this moment, patterns not counted.
    pub fn num_subscribers(&self, channel: &str) -> usize {
        self.shared.topics.num_subscribers(channel.as_bytes())
    }
}
