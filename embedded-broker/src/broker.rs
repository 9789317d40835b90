//! A bound broker, and the acceptance of its clients.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use manager_api::log::LimitedLog;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection;
use crate::limits::Limits;
use crate::stats::{Counters, Stats};
use crate::topics::Topics;

/// A broker that is bound to an address and serves nothing yet: [`run`](Self::run) serves in the task of its caller.
///
/// Clients that connect before it runs wait in the backlog of the listener. [`EmbeddedBroker`](crate::EmbeddedBroker) is the same in a task of
/// its own.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let broker = embedded_broker::Broker::bind("127.0.0.1:0").await?;
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
    /// `InvalidInput` when the address is not loopback, or what the system says about binding it.
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

    /// Serves clients until `shutdown` completes, then sends what is queued for each, for at most [`Limits::flush_timeout`], and returns.
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
    while clients.try_join_next().is_some() {} // those that have left do not count
    if clients.len() >= shared.limits.max_clients {
        shared.counters.refused_clients.fetch_add(1, Ordering::Relaxed);
        if let Some(suppressed) = REFUSED.pass() {
            tracing::warn!(
                limit = shared.limits.max_clients,
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
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) topics: Topics,
    pub(crate) counters: Counters,
}
