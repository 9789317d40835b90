//! The commands of administrators, and their login.

use std::sync::Arc;

use manager_api::log::{LimitedLog, quietly};
use manager_api::{Broadcast, Error, ErrorKind, Payload};
use serde_json::json;

use super::auth::{Credentials, Login};
use super::feed::AdminFeed;
use crate::error::Refusal;
use crate::extract::{Auth, Data};
use crate::namespace::Namespace;
use crate::server::SocketIo;
use crate::socket::Socket;

/// The one refusal that the page knows how to say in the language of its user.
const REFUSED: &str = "invalid credentials";

/// Registers the handlers of the administrators' namespace.
pub(super) fn register(namespace: &Namespace, feed: &Arc<AdminFeed>) {
    let for_connects = feed.clone();
    namespace.on_connect(move |socket: Socket, auth: Result<Auth<Credentials>, _>| {
        let feed = for_connects.clone();
        // Credentials that cannot be read are those of no administrator.
        let credentials = auth.map_or_else(|_| Credentials::default(), |Auth(credentials)| credentials);
        async move { connect(&feed, &socket, credentials).await }
    });
    if !feed.options.read_only {
        obey(namespace);
    }
    namespace.seal();
}

fn obey(namespace: &Namespace) {
    namespace
        .on(
            "join",
            async |io: SocketIo, Data(who): Data<(String, String, Option<String>)>| {
                let (nsp, room, filter) = who;
                select(&io, &nsp, filter).sockets_join([room]).await
            },
        )
        .on(
            "leave",
            async |io: SocketIo, Data(who): Data<(String, String, Option<String>)>| {
                let (nsp, room, filter) = who;
                select(&io, &nsp, filter).sockets_leave([room]).await
            },
        )
        .on(
            "_disconnect",
            async |io: SocketIo, Data(who): Data<(String, Option<bool>, Option<String>)>| {
                let (nsp, close, filter) = who;
                let clients = select(&io, &nsp, filter);
                match close {
                    Some(true) => clients.close_connections().await,
                    _ => clients.disconnect_sockets().await,
                }
            },
        )
        .on("emit", emit);
}

/// Lets an administrator in. What it is sent here follows its acceptance: the page listens from then on.
async fn connect(feed: &AdminFeed, socket: &Socket, credentials: Credentials) -> Result<(), Refusal> {
    let failed = |error: Error| Refusal::new(error.to_string());
    let options = &feed.options;
    let is_said = !credentials.is_empty();
    let peer = socket.handshake().peer_addr().map(|peer| peer.ip());
    match options.auth.login(credentials, peer).await {
        Login::Refused => {
            if is_said {
                log_refused(socket, "wrong credentials");
            }
            return Err(Refusal::new(REFUSED));
        }
        Login::Busy => {
            log_refused(socket, "too many try at once");
            return Err(Refusal::new("too many try at once: try again"));
        }
        Login::Limited => {
            log_refused(socket, "too many attempts in a minute");
            return Err(Refusal::new("too many attempts: try again in a minute"));
        }
        Login::Accepted => {
            if let Some(token) = options.auth.token(options.session_duration).await {
                socket.emit("session", &token).await.map_err(failed)?;
            }
        }
        Login::Again => {}
    }
    let features = json!({"supportedFeatures": options.features()});
    socket.emit("config", &features).await.map_err(failed)
}

fn log_refused(socket: &Socket, reason: &'static str) {
    static REFUSED: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = REFUSED.pass() {
        let peer = socket.handshake().peer_addr();
        quietly(|| tracing::warn!(target: "socket_io", reason, ?peer, suppressed, "an administrator was refused"));
    }
}

/// The clients of a namespace, or of a room of it, on every server.
fn select(io: &SocketIo, namespace: &str, filter: Option<String>) -> Broadcast {
    let clients = io.of(namespace);
    match filter {
        Some(room) if !room.is_empty() => clients.to(room),
        _ => clients,
    }
}

/// Emits `(namespace, filter, event, ...arguments)`.
async fn emit(io: SocketIo, arguments: Payload) -> Result<(), Error> {
    let (namespace, filter, event): (String, Option<String>, String) = arguments.parse()?;
    let values = arguments.arguments();
    let rest = values.get(3..).ok_or_else(|| {
        let text = "an event to emit must have a namespace, a room or null, and a name";
        Error::new(ErrorKind::Malformed, text)
    })?;
    let rest: Vec<&str> = rest.iter().map(|value| value.get()).collect();
    let json = format!("[{}]", rest.join(","));
    // Placeholders keep the numbers of their attachments.
    let payload = Payload::from_trusted(json.into(), arguments.attachments().to_vec());
    select(&io, &namespace, filter).emit_payload(&event, payload).await
}
