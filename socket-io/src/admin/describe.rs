//! Clients in the words of the Admin UI.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine_io::Handshake;
use http::HeaderName;
use manager_api::Room;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::client::Client;
use crate::date;

const REDACTED: &str = "[redacted]";

/// A client as the page wants it (socket.io-admin-ui, `SerializedSocket`).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description<'a> {
    id: &'a str,
    client_id: String,
    transport: &'static str,
    nsp: &'a str,
    data: BTreeMap<String, ()>,
    handshake: Request<'a>,
    rooms: Vec<&'a str>,
}

/// The request that opened its connection.
#[derive(Serialize)]
struct Request<'a> {
    address: String,
    headers: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    issued: u64,
    secure: bool,
    time: String,
    url: &'a str,
    xdomain: bool,
}

/// Writes a client as JSON.
pub(super) fn client(client: &Client, redacted: &[HeaderName]) -> String {
    let connection = &client.connection;
    let registry = connection.server.hub.registry();
    let rooms = registry.rooms_of(&client.namespace.name, &client.sid);
    let rooms = rooms.unwrap_or_else(|| vec![Room::from(&client.sid)]);
    let description = Description {
        id: client.sid.as_str(),
        client_id: client_id(connection.socket.id()),
        transport: connection.socket.transport().as_str(),
        nsp: client.namespace.name.as_str(),
        // What an application keeps about its clients is of its own types.
        data: BTreeMap::new(),
        handshake: request(&connection.handshake, redacted),
        rooms: rooms.iter().map(Room::as_str).collect(),
    };
    serde_json::to_string(&description).expect("strings and numbers are JSON")
}

/// What clients of one connection have in common. Node shows a part of the secret id; a hash tells nothing of it.
fn client_id(secret: &str) -> String {
    let mut id = URL_SAFE_NO_PAD.encode(Sha256::digest(secret));
    id.truncate(12);
    id
}

fn request<'a>(handshake: &'a Handshake, redacted: &[HeaderName]) -> Request<'a> {
    let since = handshake.time().duration_since(UNIX_EPOCH).unwrap_or_default();
    let issued = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Request {
        address: address(handshake),
        headers: headers(handshake, redacted),
        query: serde_urlencoded::from_str(handshake.query()).unwrap_or_default(),
        issued,
        secure: handshake.is_secure(),
        time: iso(issued),
        url: handshake.path_and_query(),
        xdomain: handshake.header("origin").is_some(),
    }
}

/// The address that a proxy names, as in Node, or that of the connection. For looking at only: clients can make it up.
fn address(handshake: &Handshake) -> String {
    let named = ["cf-connecting-ip", "x-forwarded-for"]
        .iter()
        .find_map(|name| handshake.header(name));
    let own = || handshake.peer_addr().map(|address| address.ip().to_string());
    named.map(str::to_owned).or_else(own).unwrap_or_default()
}

fn headers(handshake: &Handshake, redacted: &[HeaderName]) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &handshake.headers() {
        let value = match redacted.contains(name) {
            true => REDACTED.into(),
            false => String::from_utf8_lossy(value.as_bytes()),
        };
        let entry = headers.entry(name.as_str().to_owned()).or_default();
        if !entry.is_empty() {
            entry.push_str(", ");
        }
        entry.push_str(&value);
    }
    headers
}

/// Writes milliseconds since 1970 as the page reads them.
pub(super) fn iso(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds).ok().and_then(date::iso);
    time.unwrap_or_default()
}
