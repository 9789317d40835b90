//! `POST /api/disconnect`: a client, the clients in rooms, or all.

use manager_api::{NamespaceName, Room, Sid};
use serde::Serialize;

use super::config::ApiConfig;
use super::emit::forbidden_namespace;
use super::fields::{Fields, invalid, missing};
use super::key::KeyInUse;
use super::problem::Problem;
use super::target::Target;

/// The fields of the body.
pub(super) const FIELDS: [&str; 5] = ["namespace", "client", "rooms", "all", "close"];

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Disconnected {
    /// Always true: the broker has accepted the command. Whether there were such clients is not
    /// known.
    pub(super) accepted: bool,
}

/// The clients that are to be disconnected.
#[derive(Debug)]
pub(super) struct Request {
    namespace: NamespaceName,
    clients: Clients,
    closes_connection: bool,
}

#[derive(Debug)]
enum Clients {
    One(Sid),
    InRooms(Vec<Room>),
    All,
}

/// Reads which clients are meant. Exactly one way to name them must be used.
pub(super) fn read(body: &str, config: &ApiConfig) -> Result<Request, Problem> {
    let fields = Fields::read(body, &FIELDS)?;
    let client: Option<String> = fields.optional("client", "the id of a client")?;
    let rooms = fields.rooms("rooms", config.max_names)?;
    let all = fields.optional("all", "true or false")?.unwrap_or(false);
    let closes_connection = fields.optional("close", "true or false")?.unwrap_or(false);
    let clients = match (client, rooms.is_empty(), all) {
        (Some(client), true, false) if client.is_empty() => return Err(invalid("client", "an id must not be empty")),
        (Some(client), true, false) => Clients::One(client.into()),
        (None, false, false) => Clients::InRooms(rooms),
        (None, true, true) => Clients::All,
        // Nothing named, or an empty list, must not mean all clients.
        (None, true, false) => return Err(missing("client")),
        _ => return Err(invalid("client", "expected one of client, rooms, or all")),
    };
    Ok(Request {
        namespace: fields.namespace()?,
        clients,
        closes_connection,
    })
}

/// Disconnects the clients, wherever they are connected.
pub(super) async fn run(target: &Target, key: &KeyInUse, request: Request) -> Result<Disconnected, Problem> {
    if !key.may_use(&request.namespace) {
        return Err(forbidden_namespace());
    }
    let broadcast = target.of(&request.namespace);
    let done = match (request.clients, request.closes_connection) {
        (Clients::One(sid), false) => broadcast.disconnect(sid).await,
        (Clients::One(sid), true) => broadcast.to(sid).close_connections().await,
        (Clients::InRooms(rooms), false) => broadcast.to_all(rooms).disconnect_sockets().await,
        (Clients::InRooms(rooms), true) => broadcast.to_all(rooms).close_connections().await,
        (Clients::All, false) => broadcast.disconnect_sockets().await,
        (Clients::All, true) => broadcast.close_connections().await,
    };
    done.map_err(|error| Problem::of(&error))?;
    Ok(Disconnected { accepted: true })
}
