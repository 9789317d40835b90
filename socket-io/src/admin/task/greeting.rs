//! The greeting of an administrator who connects: the list of all clients.

use std::sync::Arc;
use std::time::Duration;

use hub::Recipients;
use manager_api::log::{LimitedLog, quietly};
use manager_api::message::Target;
use manager_api::{NamespaceName, Payload};
use tokio::time::timeout;

use crate::admin::describe;
use crate::admin::feed::AdminFeed;
use crate::admin::watch::{announce, log_failed};
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
    /// Asks the other servers, and tells them that an administrator is connected. A broker that does not answer only delays it.
    ///
    /// The page forgets all clients it knows of when it is told, so there is one list. A client of another server that comes or goes within
    /// the round trip may be missed.
    pub(super) async fn gather(client: Arc<Client>, feed: Arc<AdminFeed>) -> Self {
        let admin = Socket::new(client);
        let lists = match feed.options.tells_everything() {
            true => ask(&admin.io()).await,
            false => Vec::new(),
        };
        Self { admin, lists }
    }

    /// Tells the administrator.
    pub(super) async fn send(self, server: &Server, feed: &AdminFeed) {
        if !feed.options.tells_everything() {
            return;
        }
        let own = own_sockets(server, feed).await;
        let mut all = List::new(usize::MAX, MAX_LISTS);
        for list in std::iter::once(&own).chain(&self.lists) {
            if inner(list.inner_json()).is_some_and(|list| !all.add(list)) {
                break;
            }
        }
        // An administrator that is gone need not know.
        let _ = self.admin.emit_payload("all_sockets", all.end()).await;
    }
}

/// Registers what answers the servers whose administrators want to know.
pub(super) fn register(io: &SocketIo, feed: &Arc<AdminFeed>) {
    let feed = feed.clone();
    io.on_server_event(SOCKETS, move |io, _| {
        let feed = feed.clone();
        async move { own_sockets(io.server(), &feed).await }
    });
}

async fn ask(io: &SocketIo) -> Vec<Payload> {
    let hub = &io.core().hub;
    let asking = async { tokio::join!(announce(hub.clone()), hub.server_side_call(SOCKETS, &(), ASK_FOR)).1 };
    let Ok(asked) = timeout(PATIENCE, asking).await else {
        not_told("the broker takes no question to the other servers", 0);
        return Vec::new();
    };
    match asked {
        Ok(answers) => {
            if !answers.missing_servers.is_empty() {
                let missing = answers.missing_servers.len();
                not_told("servers did not answer", missing);
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

/// Describes the clients of this server, in all namespaces, as far as there is room: one argument, an array. Lets other tasks run after each
/// client, which may be in thousands of rooms.
async fn own_sockets(server: &Server, feed: &AdminFeed) -> Payload {
    let mut names = server.namespaces.names();
    names.extend(server.namespaces.dynamic_names());
    let registry = server.core.hub.registry();
    // At one moment: what happens afterwards is told after the list.
    let recipients = |name: &NamespaceName| registry.recipients(name, &Target::Everyone, &[], &[]);
    let selections: Vec<Recipients<Arc<Client>>> = names.iter().map(recipients).collect();
    let mut list = List::new(feed.options.max_sockets, MAX_LIST);
    for member in selections.iter().flat_map(Recipients::iter) {
        if !list.add(&describe::client(&member.handle, &feed.options.redacted_headers)) {
            break;
        }
        tokio::task::yield_now().await;
    }
    list.end()
}

/// A list of JSON texts that is not longer than administrators can use.
struct List {
    json: String,
    max_texts: usize,
    max_bytes: usize,
    num_texts: usize,
}

impl List {
    fn new(max_texts: usize, max_bytes: usize) -> Self {
        Self {
            json: "[[".to_owned(),
            max_texts,
            max_bytes,
            num_texts: 0,
        }
    }

    /// Adds a text; `false`, which is logged, if there is no room for it.
    fn add(&mut self, text: &str) -> bool {
        if self.num_texts >= self.max_texts || self.json.len() + text.len() > self.max_bytes {
            not_told("there are more clients than the limit", 0);
            return false;
        }
        if self.num_texts > 0 {
            self.json.push(',');
        }
        self.json.push_str(text);
        self.num_texts += 1;
        true
    }

    fn end(mut self) -> Payload {
        self.json.push_str("]]");
        Payload::from_trusted(self.json.into(), Vec::new())
    }
}

/// Says that an administrator is not told of all clients.
fn not_told(reason: &'static str, servers: usize) {
    static NOT_TOLD: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = NOT_TOLD.pass() {
        let (servers, text) = (
            (servers > 0).then_some(servers),
            "an administrator is not told of all clients",
        );
        quietly(|| tracing::warn!(target: "socket_io", reason, servers, suppressed, "{text}"));
    }
}
