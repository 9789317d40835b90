//! The events of the ready-made server: clients enter, leave and emit into rooms, as far as they may.

use std::sync::Arc;

use manager_api::log::{LimitedLog, quietly};
use manager_api::{NamespaceName, Payload, Room};
use serde_json::{Value, json};
use socket_io::extract::{Rejection, State};
use socket_io::{Data, Refusal, Socket, SocketIo};

use super::admission::Admission;
use super::query;
use crate::access::{Grants, Pattern};
use crate::publication::Publication;

/// The longest name of a room that a client may ask for, in bytes.
const MAX_ROOM_BYTES: usize = 256;
/// The acknowledgement of what was done.
const DONE: &str = "ok";
/// That of what the client may not do.
const NOT_ALLOWED: &str = "not allowed";

/// One line a second each: clients that come and go fill no log.
static CONNECTED: LimitedLog = LimitedLog::new();
static DISCONNECTED: LimitedLog = LimitedLog::new();

/// What handlers decide by.
#[derive(Clone)]
pub(super) struct Gate(Arc<Rules>);

struct Rules {
    /// Whether clients may emit, where they need no token; `None` where they do.
    publish: Option<bool>,
    /// How many rooms a client may be in, its own not counted.
    max_rooms: usize,
    /// For clients that ask.
    namespaces: Vec<String>,
}

impl Gate {
    pub(super) fn new(admission: &Admission, max_rooms: usize, namespaces: Vec<String>) -> Self {
        let publish = match admission {
            Admission::Open { publish } => Some(*publish),
            Admission::Tokens(_) => None,
        };
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
    clients.on_connect(
        async |socket: Socket, State(Gate(rules)): State<Gate>, grants: Granted| rules.connect(&socket, grants),
    );
    clients.on_disconnect(async |socket: Socket| {
        if let Some(suppressed) = DISCONNECTED.pass() {
            quietly(
                || tracing::info!(sid = %socket.id(), namespace = %socket.namespace(), suppressed, "client disconnected"),
            );
        }
    });
    clients.on(
        "join",
        async |socket: Socket, State(Gate(rules)): State<Gate>, grants: Granted, room: Named| {
            // What is wrong is acknowledged as text, so that people who type a name of a room see it.
            named(room)
                .and_then(|room| rules.join(&socket, grants, room))
                .map_or_else(|reason| reason, |()| DONE.to_owned())
        },
    );
    clients.on("leave", async |socket: Socket, room: Named| {
        // As for `join`; that the client has left meanwhile is not an error.
        let left = named(room).and_then(|room| socket.leave(room).map_err(|error| error.to_string()));
        left.map_or_else(|reason| reason, |()| DONE.to_owned())
    });
    clients.on(
        "publish",
        async |socket: Socket, State(Gate(rules)): State<Gate>, grants: Granted, payload: Payload| {
            let published = rules.publish(&socket, grants, &payload).await;
            published.map_or_else(|reason| reason, |()| DONE.to_owned())
        },
    );
    clients.on("ages", async |socket: Socket| match socket.tell_ages() {
        true => DONE,
        false => "too many clients are told ages",
    });
    clients.on("rights", async |State(Gate(rules)): State<Gate>, grants: Granted| {
        rules.rights(grants)
    });
}

/// The room that a client names.
type Named = Result<Data<String>, Rejection>;

fn named(room: Named) -> Result<String, String> {
    match room {
        Ok(Data(room)) => Ok(room),
        Err(_) => Err("expected the name of a room".to_owned()),
    }
}

/// What the token of a client grants; none where clients need no token.
type Granted = Result<Grants, Rejection>;

impl Rules {
    /// Tells whether a client may enter a room.
    fn may_join(&self, grants: &Granted, room: &str) -> bool {
        match grants {
            Ok(grants) => grants.may_join(room),
            Err(_) => self.publish.is_some(),
        }
    }

    /// Tells whether a client may emit to a room.
    fn may_publish(&self, grants: &Granted, room: &str) -> bool {
        match grants {
            Ok(grants) => grants.may_publish(room),
            Err(_) => self.publish == Some(true),
        }
    }

    /// Returns what a client may do, as its page shows it.
    fn rights(&self, grants: Granted) -> Value {
        let Ok(grants) = grants else {
            let publish: &[&str] = if self.publish == Some(true) { &["*"] } else { &[] };
            return json!({"join": ["*"], "publish": publish, "namespaces": self.namespaces});
        };
        let join = grants.join().iter().map(Pattern::as_str);
        let join: Vec<&str> = join.chain(grants.enter().iter().map(Room::as_str)).collect();
        let publish = grants.publish();
        let publish = publish.map_or_else(|| join.clone(), |rooms| rooms.iter().map(Pattern::as_str).collect());
        let is_for = |name: &&String| NamespaceName::new(name).is_ok_and(|name| grants.is_for(&name));
        let namespaces: Vec<&String> = self.namespaces.iter().filter(is_for).collect();
        json!({"join": join, "publish": publish, "namespaces": namespaces})
    }

    fn connect(&self, socket: &Socket, grants: Granted) -> Result<(), Refusal> {
        let named = query::names(socket.handshake().query(), "room");
        let num_entered = grants.as_ref().map_or(0, |grants| grants.enter().len());
        if named.len() + num_entered > self.max_rooms {
            return Err(Refusal::new(format!("at most {} rooms", self.max_rooms)));
        }
        for room in named {
            check_room(&room).map_err(Refusal::new)?;
            if !self.may_join(&grants, &room) {
                return Err(Refusal::new(NOT_ALLOWED).with_data(&json!({"code": "not_allowed"})));
            }
            socket.join(room).map_err(|error| Refusal::new(error.to_string()))?;
        }
        if let Some(suppressed) = CONNECTED.pass() {
            let (namespace, transport) = (socket.namespace(), socket.transport());
            quietly(|| tracing::info!(sid = %socket.id(), %namespace, ?transport, suppressed, "client connected"));
        }
        Ok(())
    }

    fn join(&self, socket: &Socket, grants: Granted, room: String) -> Result<(), String> {
        check_room(&room)?;
        if !self.may_join(&grants, &room) {
            return Err(NOT_ALLOWED.to_owned());
        }
        // The client's own room is the first.
        if socket.rooms().len() > self.max_rooms {
            return Err(format!("at most {} rooms", self.max_rooms));
        }
        socket.join(room).map_err(|error| error.to_string())
    }

    /// Emits `(room, event, ...arguments)` to the other clients in the room.
    async fn publish(&self, socket: &Socket, grants: Granted, arguments: &Payload) -> Result<(), String> {
        if self.publish == Some(false) {
            return Err(NOT_ALLOWED.to_owned());
        }
        let publication = Publication::parse(arguments)?;
        check_room(publication.room())?;
        if !self.may_publish(&grants, publication.room()) {
            return Err(NOT_ALLOWED.to_owned());
        }
        publication.emit(socket).await
    }
}

fn check_room(room: &str) -> Result<(), &'static str> {
    match room.len() {
        0 => Err("the name of a room must not be empty"),
        1..=MAX_ROOM_BYTES => Ok(()),
        _ => Err("the name of the room is too long"),
    }
}
