//! The description of a client, in the words of the Admin UI.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine_io::Handshake;
use http::HeaderName;
use manager_api::Room;
use msgpack::date;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::client::Client;

const REDACTED: &str = "[redacted]";

/// Bytes of a request's texts that are shown: of each, and of all together. A client chooses how long they are.
const MAX_TEXT: usize = 1_024;
const MAX_TEXTS: usize = 8_192;

/// A client as the page wants it (socket.io-admin-ui, `SerializedSocket`).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description<'a> {
    id: &'a str,
    client_id: String,
    transport: &'static str,
    nsp: &'a str,
    data: BTreeMap<String, ()>,
    handshake: Request,
    rooms: Vec<&'a str>,
}

/// The request that opened its connection.
#[derive(Serialize)]
struct Request {
    address: String,
    headers: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    issued: u64,
    secure: bool,
    time: String,
    url: String,
    xdomain: bool,
}

/// Writes a client as JSON.
pub(super) fn client(client: &Client, redacted: &[HeaderName]) -> String {
    let connection = &client.connection;
    let registry = client.core().hub.registry();
    let rooms = registry.rooms_of(client.namespace(), &client.sid);
    let rooms = rooms.unwrap_or_else(|| vec![Room::from(&client.sid)]);
    let description = Description {
        id: client.sid.as_str(),
        client_id: client_id(connection.socket.id()),
        transport: connection.socket.transport().as_str(),
        nsp: client.namespace().as_str(),
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

fn request(handshake: &Handshake, redacted: &[HeaderName]) -> Request {
    let since = handshake.time().duration_since(UNIX_EPOCH).unwrap_or_default();
    let issued = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let mut space = Space(MAX_TEXTS);
    Request {
        address: space.cut(&address(handshake)),
        url: space.cut(handshake.path_and_query()),
        headers: headers(handshake, redacted, &mut space),
        query: query(handshake, &mut space),
        issued,
        secure: handshake.is_secure(),
        time: iso(issued),
        xdomain: handshake.header("origin").is_some(),
    }
}

/// The bytes that there are left for texts.
struct Space(usize);

impl Space {
    /// Takes as much of a text as is shown.
    fn cut(&mut self, text: &str) -> String {
        let most = text.len().min(self.0).min(MAX_TEXT);
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
        let cut = &text[..end.unwrap_or_default()];
        self.0 -= cut.len();
        let is_whole = cut.len() == text.len();
        if is_whole { cut.to_owned() } else { format!("{cut}…") }
    }

    fn is_used_up(&self) -> bool {
        self.0 == 0
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

fn query(handshake: &Handshake, space: &mut Space) -> BTreeMap<String, String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(handshake.query()).unwrap_or_default();
    let mut query = BTreeMap::new();
    for (name, value) in &pairs {
        if !space.is_used_up() {
            query.insert(space.cut(name), space.cut(value));
        }
    }
    query
}

fn headers(handshake: &Handshake, redacted: &[HeaderName], space: &mut Space) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &handshake.headers() {
        if space.is_used_up() {
            break;
        }
        let value = match redacted.contains(name) {
            true => REDACTED.to_owned(),
            false => space.cut(&String::from_utf8_lossy(value.as_bytes())),
        };
        let entry = headers.entry(space.cut(name.as_str())).or_default();
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
