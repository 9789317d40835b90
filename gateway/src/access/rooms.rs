//! Ready-made events for rooms, within the grants of each client.

use manager_api::Payload;
use socket_io::extract::Rejection;
use socket_io::handler::Handlers;
use socket_io::{Data, Socket};

use super::Access;
use super::grants::Grants;
use crate::publication::Publication;

/// The acknowledgement of what was done.
const DONE: &str = "ok";
/// That of what the token does not allow.
const NOT_ALLOWED: &str = "not allowed";

impl Access {
    /// Registers events by which clients of a [protected](Self::protect) namespace join, leave and
    /// publish to rooms, as far as their tokens allow.
    ///
    /// | event | arguments | does |
    /// |---|---|---|
    /// | `join` | a room | enters the room |
    /// | `leave` | a room | leaves it |
    /// | `publish` | a room, an event, further arguments | emits the event with these arguments to the other clients in the room, on every server |
    ///
    /// Each is acknowledged with `ok`, or with what is wrong as text: `not allowed`, or that a
    /// limit is reached.
    ///
    /// # Panics
    ///
    /// In the namespace of the administrators, as every registration does.
    ///
    /// # Examples
    ///
    /// In JavaScript, a client whose token has `"rooms": ["order:*"], "publish": true`:
    ///
    /// ```text
    /// socket.emit("join", "order:7", (answer) => console.log(answer)); // ok
    /// socket.emit("publish", "order:7", "moved", { to: "Kiel" }, (answer) => {});
    /// ```
    pub fn rooms(&self, handlers: &Handlers) -> &Self {
        handlers.on(
            "join",
            async |socket: Socket, grants: Grants, room: Result<Data<String>, Rejection>| {
                join(&socket, &grants, room.ok())
            },
        );
        handlers.on(
            "leave",
            async |socket: Socket, room: Result<Data<String>, Rejection>| match room {
                Ok(Data(room)) => answer(socket.leave(room).map_err(|error| error.to_string())),
                Err(_) => "expected the name of a room".to_owned(),
            },
        );
        handlers.on("publish", async |socket: Socket, grants: Grants, arguments: Payload| {
            answer(publish(&socket, &grants, &arguments).await)
        });
        self
    }
}

/// Puts a client into a room that its token allows it to join.
fn join(socket: &Socket, grants: &Grants, room: Option<Data<String>>) -> String {
    let Some(Data(room)) = room else {
        return "expected the name of a room".to_owned();
    };
    match grants.may_join(&room) {
        true => answer(socket.join(room).map_err(|error| error.to_string())),
        false => NOT_ALLOWED.to_owned(),
    }
}

/// Emits `(room, event, ...arguments)`.
async fn publish(socket: &Socket, grants: &Grants, arguments: &Payload) -> Result<(), String> {
    let publication = Publication::parse(arguments)?;
    match grants.may_publish(publication.room()) {
        true => publication.emit(socket).await,
        false => Err(NOT_ALLOWED.to_owned()),
    }
}

/// Makes the acknowledgement: that it is done, or why not.
fn answer(done: Result<(), String>) -> String {
    done.map_or_else(|reason| reason, |()| DONE.to_owned())
}
