//! A server with a small application on its own runtime, so that a test can end it as abruptly as a process.

use std::net::{SocketAddr, TcpListener};

use integration::{DEADLINE, managers};
use serde_json::Value;
use socket_io::extract::State;
use socket_io::manager_api::{EventName, Payload, Room};
use socket_io::socket::DisconnectReason;
use socket_io::{Auth, Data, Refusal, Socket, SocketIo, SocketIoBuilder};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// The namespace beside `/`.
pub(crate) const OTHER: &str = "/other";

/// Reports of the application.
#[derive(Debug)]
pub(crate) enum Seen {
    /// A client was accepted.
    Connect { socket: Socket, auth: Option<Value> },
    /// A client is gone.
    Disconnect {
        socket: Socket,
        reason: DisconnectReason,
        /// Those that its handler saw.
        rooms: Vec<Room>,
    },
}

/// A running server. Dropping it kills it: connections break off without a word.
///
/// Its namespaces are `/` and [`OTHER`]. Clients whose auth has `refuse` are refused with that as data. Events: `echo` answers with its
/// arguments; `back` emits them back as `back`; `join` and `leave` take a room and answer `true`; `where` answers with the
/// namespace and the transport.
pub(crate) struct Served {
    pub(crate) io: SocketIo,
    pub(crate) address: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
    stop: Option<oneshot::Sender<()>>,
    stopped: oneshot::Receiver<()>,
    /// Taken when it ends.
    runtime: Option<Runtime>,
}

impl Served {
    /// Starts a server that is alone.
    pub(crate) fn start() -> Self {
        Self::start_on(any_port(), SocketIo::builder())
    }

    /// Starts a server that shares a channel of a broker with others, and hears them.
    pub(crate) async fn start_on_channel(url: &str, channel: &str) -> Self {
        let manager = managers::on_channel(url, channel);
        let served = Self::start_on(any_port(), SocketIo::builder().manager(manager));
        timeout(DEADLINE, served.io.ready())
            .await
            .expect("the server subscribes in time");
        served
    }

    /// Starts a server on a listener.
    pub(crate) fn start_on(listener: TcpListener, builder: SocketIoBuilder) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let _inside = runtime.enter();
        let (sender, seen) = mpsc::unbounded_channel();
        let io = builder.state(sender).build();
        for name in ["/", OTHER] {
            application(&io, name);
        }
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (stop, shutdown) = oneshot::channel::<()>();
        let (done, stopped) = oneshot::channel();
        let server = io.clone();
        runtime.spawn(async move {
            let shutdown = async { drop(shutdown.await) };
            socket_io::serve(listener, server, shutdown).await.unwrap();
            // Not waited for when the server is killed.
            let _ = done.send(());
        });
        Self {
            io,
            address,
            seen,
            stop: Some(stop),
            stopped,
            runtime: Some(runtime),
        }
    }

    /// Returns where clients connect.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the next thing that the application reports.
    pub(crate) async fn next(&mut self) -> Seen {
        let next = timeout(DEADLINE, self.seen.recv()).await;
        next.expect("the application reports in time")
            .expect("the application has not ended")
    }

    /// Returns the next client and its auth.
    pub(crate) async fn accepted(&mut self) -> (Socket, Option<Value>) {
        loop {
            if let Seen::Connect { socket, auth } = self.next().await {
                return (socket, auth);
            }
        }
    }

    /// Returns the next client that leaves, and why.
    pub(crate) async fn left(&mut self) -> (Socket, DisconnectReason) {
        loop {
            if let Seen::Disconnect { socket, reason, .. } = self.next().await {
                return (socket, reason);
            }
        }
    }

    /// Returns the rooms that the disconnect handler of the next client that leaves has seen, its own room left out.
    pub(crate) async fn rooms_left(&mut self) -> (Socket, DisconnectReason, Vec<Room>) {
        loop {
            if let Seen::Disconnect { socket, reason, rooms } = self.next().await {
                let others = rooms.into_iter().filter(|room| room.as_str() != socket.id().as_str());
                let others = others.collect();
                return (socket, reason, others);
            }
        }
    }

    /// Shuts the server down, and waits until it has disconnected all clients.
    pub(crate) async fn shut_down(mut self) {
        let stop = self.stop.take().expect("it is stopped once");
        stop.send(()).expect("the server runs");
        timeout(DEADLINE, &mut self.stopped)
            .await
            .expect("the server stops in time")
            .expect("the server stops by itself");
        self.kill().await;
    }

    /// Kills the server: no client or server is notified, and its port is free afterwards.
    pub(crate) async fn kill(mut self) {
        let runtime = self.runtime.take().expect("it ends once");
        let ending = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(DEADLINE));
        ending.await.unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns a listener on a port that the system chooses.
pub(crate) fn any_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Returns a listener on a port that stays free while it has no listener: the system gives it to no outgoing connection.
pub(crate) fn lasting_port() -> TcpListener {
    let seeds = uuid::Uuid::new_v4().into_bytes();
    let mut numbers = seeds.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let listener = numbers.find_map(|number| TcpListener::bind(("127.0.0.1", 15_000 + number % 15_000)).ok());
    listener.expect("some port is free")
}

fn application(io: &SocketIo, name: &str) {
    type Report = mpsc::UnboundedSender<Seen>;
    io.namespace(name)
        .on_connect(
            async |socket: Socket, Auth(auth): Auth<Option<Value>>, State(report): State<Report>| {
                let refusal = auth.as_ref().and_then(|auth| auth.get("refuse"));
                if let Some(data) = refusal {
                    return Err(Refusal::new("not you").with_data(data));
                }
                // The test may have ended.
                let _ = report.send(Seen::Connect { socket, auth });
                Ok(())
            },
        )
        .on_disconnect(
            async |socket: Socket, reason: DisconnectReason, State(report): State<Report>| {
                // The test may have ended.
                let rooms = socket.rooms();
                let _ = report.send(Seen::Disconnect { socket, reason, rooms });
            },
        )
        .on("echo", async |arguments: Payload| arguments)
        .on("back", async |socket: Socket, event: EventName, arguments: Payload| {
            socket.emit_payload(event.as_str(), arguments).await
        })
        .on("join", async |socket: Socket, Data(room): Data<String>| {
            socket.join(room).map(|()| true)
        })
        .on("leave", async |socket: Socket, Data(room): Data<String>| {
            socket.leave(room).map(|()| true)
        })
        .on("where", async |socket: Socket| {
            (socket.namespace().to_string(), socket.transport().as_str())
        });
}
