//! The events of the ready-made server: clients enter, leave and emit into rooms, as far as they may.

use std::sync::Arc;

use manager_api::log::{Escaped, LimitedLog};
use manager_api::{EventName, NamespaceName, Payload};
use serde_json::json;
use socket_io::extract::State;
use socket_io::{Data, Refusal, Socket, SocketIo};

use super::admission::Admission;
use super::query;

/// The longest name of a room that a client may ask for, in bytes.
const MAX_ROOM_BYTES: usize = 256;
/// The acknowledgement of what was done.
const DONE: &str = "ok";

/// One line a second each: clients that come and go fill no log.
static CONNECTED: LimitedLog = LimitedLog::new();
static DISCONNECTED: LimitedLog = LimitedLog::new();

/// What handlers decide by.
#[derive(Clone)]
pub(super) struct Gate(Arc<Rules>);

struct Rules {
    /// Whether clients may emit.
    publish: bool,
    /// How many rooms a client may be in, its own not counted.
    max_rooms: usize,
    /// For clients that ask.
    namespaces: Vec<String>,
}

impl Gate {
    pub(super) fn new(admission: &Admission, max_rooms: usize, namespaces: Vec<String>) -> Self {
        let Admission::Open { publish } = *admission;
        Self(Arc::new(Rules {
            publish,
            max_rooms,
            namespaces,
        }))
    }
}

/// Registers the events of a namespace.
pub(super) fn serve(io: &SocketIo, namespace: &NamespaceName) {
    let clients = io.namespace(namespace.as_str());
    clients.on_connect(async |socket: Socket, State(Gate(rules)): State<Gate>| rules.connect(&socket));
    clients.on_disconnect(async |socket: Socket| {
        if let Some(suppressed) = DISCONNECTED.pass() {
            tracing::info!(sid = %socket.id(), namespace = %socket.namespace(), suppressed, "client disconnected");
        }
    });
    clients.on(
        "join",
        async |socket: Socket, State(Gate(rules)): State<Gate>, Data(room): Data<String>| {
            // What is wrong is acknowledged as text, so that people who type a name of a room see it.
            rules
                .join(&socket, room)
                .map_or_else(|reason| reason, |()| DONE.to_owned())
        },
    );
    clients.on("leave", async |socket: Socket, Data(room): Data<String>| {
        // As for `join`; that the client has left meanwhile is not an error.
        let left = socket.leave(room);
        left.map_or_else(|error| error.to_string(), |()| DONE.to_owned())
    });
    clients.on(
        "publish",
        async |socket: Socket, State(Gate(rules)): State<Gate>, payload: Payload| {
            let published = rules.publish(&socket, &payload).await;
            published.map_or_else(|reason| reason, |()| DONE.to_owned())
        },
    );
    clients.on("rights", async |State(Gate(rules)): State<Gate>| {
        let publish: &[&str] = if rules.publish { &["*"] } else { &[] };
        json!({"join": ["*"], "publish": publish, "namespaces": rules.namespaces})
    });
}

impl Rules {
    fn connect(&self, socket: &Socket) -> Result<(), Refusal> {
        let named = query::names(socket.handshake().query(), "room");
        if named.len() > self.max_rooms {
            return Err(Refusal::new(format!("at most {} rooms", self.max_rooms)));
        }
        for room in named {
            check_room(&room).map_err(Refusal::new)?;
            socket.join(room).map_err(|error| Refusal::new(error.to_string()))?;
        }
        if let Some(suppressed) = CONNECTED.pass() {
            let (namespace, transport) = (socket.namespace(), socket.transport());
            tracing::info!(sid = %socket.id(), %namespace, ?transport, suppressed, "client connected");
        }
        Ok(())
    }

    fn join(&self, socket: &Socket, room: String) -> Result<(), String> {
        check_room(&room)?;
        // The client's own room is the first.
        if socket.rooms().len() > self.max_rooms {
            return Err(format!("at most {} rooms", self.max_rooms));
        }
        socket.join(room).map_err(|error| error.to_string())
    }

    /// Emits `(room, event, ...arguments)` to the other clients in the room.
    async fn publish(&self, socket: &Socket, arguments: &Payload) -> Result<(), String> {
        if !self.publish {
            return Err("not allowed".to_owned());
        }
        let malformed = "expected a room, an event, and its arguments";
        let (room, event): (String, String) = arguments.parse().map_err(|_| malformed)?;
        check_room(&room)?;
        let event = EventName::new(&event).map_err(|error| error.to_string())?;
        let values = arguments.arguments();
        let rest: Vec<&str> = values
            .get(2..)
            .ok_or(malformed)?
            .iter()
            .map(|value| value.get())
            .collect();
        let json = format!("[{}]", rest.join(","));
        // The first two are text, so that all placeholders are in the rest and keep the numbers of their attachments.
        let payload = Payload::from_trusted(json.into(), arguments.attachments().to_vec());
        let emitted = socket.to(room).emit_payload(event, payload).await;
        emitted.map_err(|error| {
            tracing::debug!(sid = %socket.id(), error = ?Escaped(&error), "an event of a client was not published");
            "the event could not be published".to_owned()
        })
    }
}

fn check_room(room: &str) -> Result<(), &'static str> {
    match room.len() {
        0 => Err("the name of a room must not be empty"),
        1..=MAX_ROOM_BYTES => Ok(()),
        _ => Err("the name of the room is too long"),
    }
}
