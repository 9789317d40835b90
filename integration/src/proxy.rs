//! A TCP proxy whose connections can be cut, stalled and restored.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The mode of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Passes bytes.
    Open,
    /// Keeps connections, accepts new ones, passes nothing: a network that swallows packets.
    Stalled,
    /// Forwards the bytes of clients, and none of the responses.
    Muted,
    /// All connections are closed, and each new one at once.
    Cut,
}

/// A proxy on a free port of 127.0.0.1. Dropping it closes its connections.
#[derive(Debug)]
pub struct TcpProxy {
    addr: SocketAddr,
    mode: watch::Sender<Mode>,
    open: watch::Receiver<usize>,
    accepted: Arc<AtomicUsize>,
    answered: Arc<AtomicU64>,
    listener: JoinHandle<()>,
}

impl TcpProxy {
    /// Starts a proxy in front of `target`, a `host:port`.
    ///
    /// # Panics
    ///
    /// When no port can be had.
    pub async fn start(target: impl Into<String>) -> Self {
        Self::start_on(0, target).await
    }

    /// Starts a proxy on `port`, for targets that tell their clients where to connect.
    ///
    /// # Panics
    ///
    /// When the port cannot be had.
    pub async fn start_on(port: u16, target: impl Into<String>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("127.0.0.1 has a free port");
        let addr = listener.local_addr().expect("a bound listener has an address");
        let (mode, watched) = watch::channel(Mode::Open);
        let (count, open) = watch::channel(0);
        let accepted = Arc::<AtomicUsize>::default();
        let answered = Arc::<AtomicU64>::default();
        let state = State {
            mode: watched,
            open: Arc::new(count),
            accepted: Arc::clone(&accepted),
            answered: Arc::clone(&answered),
        };
        let listener = tokio::spawn(accept(listener, target.into(), state));
        Self {
            addr,
            mode,
            open,
            accepted,
            answered,
            listener,
        }
    }

    /// Starts a proxy in front of the server that `url` names, and returns it with the same URL through the proxy.
    ///
    /// # Panics
    ///
    /// When `url` names no port.
    pub async fn before(url: &str) -> (Self, String) {
        let (scheme, rest) = url.split_once("://").expect("a URL has a scheme");
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, target) = authority
            .rsplit_once('@')
            .map_or(("", authority), |(user, target)| (user, target));
        assert!(target.contains(':'), "no port in {url}");
        let proxy = Self::start(target).await;
        let at = if user.is_empty() { "" } else { "@" };
        let through = format!("{scheme}://{user}{at}{}{path}", proxy.addr);
        (proxy, through)
    }

    /// Returns where the proxy listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes every connection, and each new one at once; returns when all are closed.
    ///
    /// # Panics
    ///
    /// Not while the proxy lives.
    pub async fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
        self.until_unused().await;
    }

    /// Keeps connections but passes nothing, as a network that swallows packets.
    pub fn stall(&self) {
        self.mode.send_replace(Mode::Stalled);
    }

    /// Keeps connections and forwards the bytes of clients, but none of the responses.
    pub fn mute(&self) {
        self.mode.send_replace(Mode::Muted);
    }

    /// Forwards bytes again, first those that a stall held back.
    pub fn restore(&self) {
        self.mode.send_replace(Mode::Open);
    }

    /// Waits until at least `count` connections pass through.
    ///
    /// # Panics
    ///
    /// Not while the proxy lives.
    pub async fn connections(&self, count: usize) {
        self.open
            .clone()
            .wait_for(|open| *open >= count)
            .await
            .expect("the listener outlives its handle");
    }

    /// Waits until no connection passes through.
    ///
    /// # Panics
    ///
    /// Not while the proxy lives.
    pub async fn until_unused(&self) {
        self.open
            .clone()
            .wait_for(|open| *open == 0)
            .await
            .expect("the listener outlives its handle");
    }

    /// Returns how many connections were accepted so far, those closed at once included.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Returns how many bytes of the target were passed on so far. They are counted before they are passed.
    #[must_use]
    pub fn answered_bytes(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.mode.send_replace(Mode::Cut);
        self.listener.abort();
    }
}

#[derive(Clone)]
struct State {
    mode: watch::Receiver<Mode>,
    open: Arc<watch::Sender<usize>>,
    accepted: Arc<AtomicUsize>,
    answered: Arc<AtomicU64>,
}

/// Counts a connection for as long as it lives.
struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(open: &Arc<watch::Sender<usize>>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

async fn accept(listener: TcpListener, target: String, state: State) {
    while let Ok((near, _)) = listener.accept().await {
        state.accepted.fetch_add(1, Ordering::SeqCst);
        // Counted before the mode is looked at, so that `cut` sees either the count or a connection closed at once.
        let counted = Counted::new(&state.open);
        if *state.mode.borrow() == Mode::Cut {
            continue;
        }
        tokio::spawn(serve(near, target.clone(), state.clone(), counted));
    }
}

async fn serve(near: TcpStream, target: String, state: State, _counted: Counted) {
    let mut cut = state.mode.clone();
    tokio::select! {
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
        () = pass(near, target, state) => {}
    }
}

async fn pass(near: TcpStream, target: String, state: State) {
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let delays = near.set_nodelay(true).is_err() || far.set_nodelay(true).is_err();
    if delays {
        return; // the peer is gone already
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let asked = AtomicU64::default();
    tokio::join!(
        pump(
            near_read,
            far_write,
            state.mode.clone(),
            &[Mode::Open, Mode::Muted],
            &asked
        ),
        pump(far_read, near_write, state.mode, &[Mode::Open], &state.answered)
    );
}

/// Forwards one direction, in the modes that allow it, until it ends, and then closes the other side.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    passing: &[Mode],
    passed: &AtomicU64,
) {
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut chunk).await.unwrap_or(0);
        if mode.wait_for(|mode| passing.contains(mode)).await.is_err() {
            return;
        }
        passed.fetch_add(length as u64, Ordering::SeqCst);
        if length == 0 || to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}
