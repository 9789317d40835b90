//! The server side of random scripts: operations that a server carries out.

use std::time::Duration;

use futures_util::future::BoxFuture;
use manager_api::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use socket_io::config::Config;
use socket_io::manager_api::NamespaceName;
use socket_io::manager_api::cluster::ServerEvent;
use socket_io::{Socket, SocketIo};

use crate::app;

/// The rooms of `/` that there are.
pub const ROOMS: [&str; 4] = ["a", "b", "c", "d"];
/// The timeout of requests: some meet clients and servers that do not respond.
pub const SHORT: Duration = Duration::from_millis(200);
/// The longest time until a live server responds to a request for the servers.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// One deed of a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Puts a client of any server into a room.
    Enter(String, String),
    /// Removes a client of any server from a room.
    Leave(String, String),
    /// Empties a room.
    Close(String),
    /// Emits so many bytes to a room.
    Emit(String, usize),
    /// Emits to a namespace.
    EmitIn(String),
    /// Disconnects a client of any server.
    Disconnect(String),
    /// Puts the members of a room into all rooms.
    EnterAll(String),
    /// Removes the members of a room from it.
    LeaveAll(String),
    /// Emits to a room and collects acknowledgements.
    Collect(String),
    /// Requests the clients in a room.
    Fetch(String),
    /// Sends an event to the other servers.
    Tell,
    /// Calls the other servers.
    Call,
}

impl Act {
    /// Does it. Clients and servers that are gone or say nothing are no failure.
    ///
    /// # Errors
    ///
    /// When the broker cannot be reached.
    pub fn perform(self, io: &SocketIo) -> BoxFuture<'static, Result<(), Error>> {
        let io = io.clone();
        match self {
            Self::Enter(sid, room) => io.broadcast().enter_room(sid, room),
            Self::Leave(sid, room) => io.broadcast().leave_room(sid, room),
            Self::Close(room) => io.broadcast().close_room(room),
            Self::Emit(room, length) => io.to(room).emit("news", &"x".repeat(length)),
            Self::EmitIn(namespace) => io.of(&namespace).emit("news", &1),
            Self::Disconnect(sid) => io.broadcast().disconnect(sid),
            Self::EnterAll(room) => io.to(room).sockets_join(ROOMS),
            Self::LeaveAll(room) => io.to(room.clone()).sockets_leave([room]),
            Self::Collect(room) => {
                let report = io.to(room).timeout(SHORT).emit_and_collect("question", &());
                Box::pin(async move { report.await.map(drop) })
            }
            Self::Fetch(room) => {
                let sockets = io.to(room).timeout(SHORT).fetch_sockets();
                Box::pin(async move { sockets.await.map(drop) })
            }
            Self::Tell => Box::pin(async move { io.server_side_emit("told", &1).await }),
            Self::Call => Box::pin(async move { io.server_side_call("asked", &(), SHORT).await.map(drop) }),
        }
    }
}

/// Shortens the times after which a server gives up silent clients and servers.
pub fn hasten(config: &mut Config) {
    config.connect_timeout = Duration::from_secs(1);
    config.engine.ping_interval = Duration::from_millis(300);
    config.engine.ping_timeout = Duration::from_secs(1);
    config.engine.upgrade_timeout = Duration::from_secs(1);
    config.engine.polling_close_timeout = Duration::from_secs(1);
}

/// The session data of a client; long enough to show up if it leaks.
#[derive(Clone)]
struct Visits(Vec<u64>);

impl Default for Visits {
    fn default() -> Self {
        Self(vec![0; 64])
    }
}

/// Registers the events: those of [`app`]; `visit` answers how often it was called by this client, `ask me` asks it, and then answers.
/// Namespaces that begin with `/game-` come and go with their clients.
pub fn register(io: &SocketIo) {
    app::register(io);
    io.namespace("/")
        .on_connect(async |socket: Socket| socket.save_session(Visits::default()).is_ok())
        .on("visit", async |socket: Socket| {
            let mut visits = socket.session::<Visits>().await;
            visits.0[0] += 1;
            visits.0[0]
        })
        .on("ask me", async |socket: Socket| {
            let answer = socket.call::<_, serde_json::Value>("question", &(), SHORT).await;
            answer.map_or_else(|error| error.kind() == ErrorKind::Timeout, |_| true)
        });
    io.namespace("/other");
    io.namespaces_where(|name| name.starts_with("/game-"))
        .on("which", async |namespace: NamespaceName| namespace.to_string());
    io.on_server_event("told", async |_: SocketIo, _: ServerEvent| ())
        .on_server_event("asked", async |io: SocketIo, _: ServerEvent| io.metrics().num_clients);
}
