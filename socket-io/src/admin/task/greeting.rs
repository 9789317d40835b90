//! What an administrator is told when connecting: who is there.

use std::sync::Arc;
use std::time::Duration;

use manager_api::{Namespace, Payload, Recipients, Target};
use tokio::time::timeout;

use super::{announce, log_failed};
use crate::admin::describe;
use crate::admin::desk::Desk;
use crate::client::Client;
use crate::server::{Server, SocketIo};
use crate::socket::Socket;

/// Asks another server for its clients; answered with their descriptions.
const SOCKETS: &str = "sio_admin_sockets";

/// How long the other servers have to answer, and the broker to take the question besides.
const ASK_FOR: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes of descriptions of one server, and of all together. Far from what makes a connection too slow to keep.
const MAX_LIST: usize = 1 << 20;
const MAX_LISTS: usize = 4 << 20;

/// An administrator who is to be told, and what other servers said of their clients.
pub(super) struct Greeting {
    admin: Socket,
    lists: Vec<Payload>,
}

impl Greeting {
    /// Asks the other servers, and tells them that somebody looks on. A broker that does not answer only delays it.
    ///
    /// The page forgets all clients it knows of when it is told, so there is one list. A client of another server that comes or goes within
    /// the round trip may be missed.
    pub(super) async fn gather(client: Arc<Client>, desk: Arc<Desk>) -> Self {
        let admin = Socket::new(client);
        let lists = match desk.options.tells_everything() {
            true => ask(&admin.io()).await,
            false => Vec::new(),
        };
        Self { admin, lists }
    }

    /// Tells the administrator.
    pub(super) fn send(self, server: &Server, desk: &Desk) {
        if !desk.options.tells_everything() {
            return;
        }
        let own = own_sockets(server, desk);
        let lists = std::iter::once(&own).chain(&self.lists);
        let lists = lists.filter_map(|list| inner(list.inner_json()));
        let lists = fitting(lists, usize::MAX, MAX_LISTS);
        let json = format!("[[{}]]", lists.join(","));
        // An administrator that is gone need not know.
        let _ = self
            .admin
            .emit_payload("all_sockets", Payload::from_trusted(json.into(), Vec::new()));
    }
}

/// Registers what answers the servers whose administrators want to know.
pub(super) fn register(io: &SocketIo, desk: &Arc<Desk>) {
    let desk = desk.clone();
    io.on_server_event(SOCKETS, move |io, _| {
        let desk = desk.clone();
        async move { own_sockets(io.server(), &desk) }
    });
}

async fn ask(io: &SocketIo) -> Vec<Payload> {
    let hub = &io.server().hub;
    let asking = async { tokio::join!(announce(hub.clone()), hub.server_side_call(SOCKETS, &(), ASK_FOR)).1 };
    let Ok(asked) = timeout(PATIENCE, asking).await else {
        tracing::warn!(target: "socket_io", "an administrator is not told of the clients of other servers: the broker takes no question");
        return Vec::new();
    };
    match asked {
        Ok(answers) => {
            if !answers.missing_servers.is_empty() {
                let missing = answers.missing_servers.len();
                tracing::warn!(target: "socket_io", missing, "an administrator is not told of the clients of servers that did not answer");
            }
            answers.found.into_iter().filter_map(|answer| answer.payload).collect()
        }
        Err(error) => {
            log_failed(Err(error));
            Vec::new()
        }
    }
}

/// Returns what stands in an array; `None` if that is nothing, or no array.
fn inner(json: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(json).ok()?;
    let inner = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    (!inner.is_empty()).then_some(inner)
}

/// Describes the clients of this server, in all namespaces: one argument, an array.
fn own_sockets(server: &Server, desk: &Desk) -> Payload {
    let mut names = server.namespaces.names();
    names.extend(server.namespaces.dynamic_names());
    let registry = server.hub.registry();
    let recipients = |name: &Namespace| registry.recipients(name, &Target::Everyone, &[], &[]);
    let selections: Vec<Recipients<Arc<Client>>> = names.iter().map(recipients).collect();
    let clients = selections.iter().flat_map(Recipients::iter);
    let redacted = &desk.options.redacted_headers;
    let descriptions = clients.map(|member| describe::client(&member.handle, redacted));
    let descriptions = fitting(descriptions, desk.options.max_sockets, MAX_LIST);
    let json = format!("[[{}]]", descriptions.join(","));
    Payload::from_trusted(json.into(), Vec::new())
}

/// Takes the first so many texts that have room together; says in the log if those are not all.
fn fitting<T: AsRef<str>>(texts: impl Iterator<Item = T>, max_texts: usize, max_bytes: usize) -> Vec<T> {
    let mut fitting = Vec::new();
    let mut left = max_bytes;
    for text in texts {
        let size = text.as_ref().len();
        if fitting.len() >= max_texts || size > left {
            tracing::warn!(
                target: "socket_io",
                max_texts, max_bytes, "an administrator is not told of all clients: there are more than the limit"
            );
            break;
        }
        left -= size;
        fitting.push(text);
    }
    fitting
}
