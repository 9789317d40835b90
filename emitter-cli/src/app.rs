//! The ready-made server of `serve` and `demo`: rooms to join, and a page that shows what arrives.

mod page;
mod query;

use std::sync::Arc;

use http::header::{HOST, HeaderValue};
use http::request::Parts;
use manager_api::log::LimitedLog;
use manager_api::{ClientManager, NamespaceName};
use socket_io::config::AllowedOrigins;
use socket_io::{Data, Refusal, Socket, SocketIo};

pub(crate) use page::Page;

/// The longest name of a room that a client may ask for, in bytes.
const MAX_ROOM_BYTES: usize = 256;
/// How many rooms a client may be in, its own not counted.
const MAX_ROOMS: usize = 64;

/// One line a second each: clients that come and go fill no log.
static CONNECTED: LimitedLog = LimitedLog::new();
static DISCONNECTED: LimitedLog = LimitedLog::new();

/// Builds the server, with namespaces beside `/`, and origins beside its own.
pub(crate) fn server(manager: Arc<dyn ClientManager>, namespaces: &[NamespaceName], origins: &[String]) -> SocketIo {
    let builder = SocketIo::builder().manager(manager);
    let origins = allowed(origins);
    let io = builder
        .configure(|config| config.engine.cors_allowed_origins = origins)
        .build();
    let others = namespaces.iter().filter(|namespace| !namespace.is_root());
    for name in others.map(NamespaceName::as_str).chain(["/"]) {
        serve_rooms(&io, name);
    }
    io
}

/// The server's own origin is always allowed: its page would not work without.
fn allowed(origins: &[String]) -> AllowedOrigins {
    if origins.is_empty() {
        return AllowedOrigins::SameOrigin;
    }
    if origins.iter().any(|origin| origin == "*") {
        return AllowedOrigins::Any;
    }
    let origins = origins.to_vec();
    AllowedOrigins::matching(move |origin, request| {
        is_own(origin, request) || origins.iter().any(|each| each.eq_ignore_ascii_case(origin))
    })
}

fn is_own(origin: &str, request: &Parts) -> bool {
    let host = request.headers.get(HOST).map(HeaderValue::as_bytes);
    let own = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    own.is_some_and(|own| host.is_some_and(|host| host.eq_ignore_ascii_case(own.as_bytes())))
}

/// Clients of the namespace join and leave rooms.
fn serve_rooms(io: &SocketIo, namespace: &str) {
    let clients = io.namespace(namespace);
    clients.on_connect(async |socket: Socket| {
        let rooms = query::names(socket.handshake().query(), "room");
        if rooms.len() > MAX_ROOMS {
            return Err(Refusal::new(format!("at most {MAX_ROOMS} rooms")));
        }
        for room in rooms {
            check_room(&room).map_err(Refusal::new)?;
            socket.join(room).map_err(|error| Refusal::new(error.to_string()))?;
        }
        if let Some(suppressed) = CONNECTED.pass() {
            tracing::info!(sid = %socket.id(), namespace = %socket.namespace(), transport = ?socket.transport(), suppressed, "client connected");
        }
        Ok(())
    });
    clients.on_disconnect(async |socket: Socket| {
        if let Some(suppressed) = DISCONNECTED.pass() {
            tracing::info!(sid = %socket.id(), namespace = %socket.namespace(), suppressed, "client disconnected");
        }
    });
    clients.on("join", async |socket: Socket, Data(room): Data<String>| {
        join(&socket, room)
    });
    clients.on("leave", async |socket: Socket, Data(room): Data<String>| {
        // As for `join`; that the client has left meanwhile is not an error.
        let left = socket.leave(room);
        left.map_or_else(|error| error.to_string(), |()| "ok".to_owned())
    });
}

/// What is wrong is acknowledged as text, so that people who type a name of a room see it.
fn join(socket: &Socket, room: String) -> String {
    let joined = check_room(&room).map_err(str::to_owned).and_then(|()| {
        // The client's own room is the first.
        if socket.rooms().len() > MAX_ROOMS {
            return Err(format!("at most {MAX_ROOMS} rooms"));
        }
        socket.join(room).map_err(|error| error.to_string())
    });
    joined.map_or_else(|reason| reason, |()| "ok".to_owned())
}

fn check_room(room: &str) -> Result<(), &'static str> {
    match room.len() {
        0 => Err("the name of a room must not be empty"),
        1..=MAX_ROOM_BYTES => Ok(()),
        _ => Err("the name of the room is too long"),
    }
}
