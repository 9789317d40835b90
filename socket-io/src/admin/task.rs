//! The task that tells administrators what there is to tell.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use futures_util::{FutureExt, StreamExt};
use manager_api::{Broadcast, Error, LimitedLog, Payload, Recipients, Target};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::desk::{Desk, Note};
use super::stats::Stats;
use super::{commands, describe};
use crate::client::Client;
use crate::server::{Server, SocketIo};
use crate::socket::Socket;

/// Asks another server for its clients; answered with their descriptions.
const SOCKETS: &str = "sio_admin_sockets";
/// Tells the other servers that administrators look on, and for how many milliseconds.
const WATCH: &str = "sio_admin_watch";
/// Asks whether somebody looks on: a server that has just begun does not know.
const SEEK: &str = "sio_admin_seek";

/// How long others are taken to look on, and how often they say so.
const WATCH_FOR: Duration = Duration::from_secs(30);
const WATCH_EVERY: Duration = Duration::from_secs(10);

/// How long the other servers are waited for when an administrator connects.
const ASK_FOR: Duration = Duration::from_secs(2);

/// Notes that are on their way to the broker at a time.
const IN_FLIGHT: usize = 64;

/// The receiving ends of a [`Desk`].
pub(crate) struct Inbox {
    pub(super) notes: mpsc::Receiver<Note>,
    pub(super) greetings: mpsc::Receiver<Arc<Client>>,
}

/// Registers what administrators and the other servers may say, and begins to tell.
///
/// # Panics
///
/// If called outside a tokio runtime.
pub(crate) fn start(io: &SocketIo, desk: Arc<Desk>, inbox: Inbox) {
    register(io, &desk);
    let task = tokio::spawn(run(Arc::downgrade(io.server()), desk, inbox));
    io.set_telling(task.abort_handle());
}

/// Tells what there is to tell, for as long as the server lives.
async fn run(server: Weak<Server>, desk: Arc<Desk>, mut inbox: Inbox) {
    let Some(io) = server.upgrade().map(SocketIo::from_server) else {
        return;
    };
    let mut ticks = tokio::time::interval(desk.options.stats_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut announcements = tokio::time::interval(WATCH_EVERY);
    let mut stats = Stats::new();
    let mut telling = FuturesOrdered::new();
    let mut chores: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    let mut publishing = None;
    chores.push(seek(io.clone()).boxed());
    drop(io);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let Some(server) = server.upgrade() else { return };
                let payload = stats.next(&server, &desk);
                let everybody = admins(&server, &desk);
                // While the broker does not answer, this server's own administrators are told all the same.
                let whom = if publishing.is_some() { everybody.local() } else { everybody };
                let told = whom.emit_payload("server_stats", payload);
                match publishing {
                    Some(_) => drop(told.await),
                    None => publishing = Some(told),
                }
            }
            told = async { publishing.as_mut().expect("checked below").await }, if publishing.is_some() => {
                publishing = None;
                log_failed(told);
            }
            _ = announcements.tick(), if desk.num_admins() > 0 => {
                let Some(server) = server.upgrade() else { return };
                chores.push(announce(SocketIo::from_server(server)).boxed());
            }
            Some(note) = inbox.notes.recv(), if telling.len() < IN_FLIGHT => {
                let Some(server) = server.upgrade() else { return };
                desk.told(&note);
                let everybody = admins(&server, &desk);
                let whom = if desk.is_watched_from_afar() { everybody } else { everybody.local() };
                telling.push_back(whom.emit_payload(note.event, note.payload));
            }
            Some(told) = telling.next(), if !telling.is_empty() => log_failed(told),
            Some(client) = inbox.greetings.recv(), if chores.len() < IN_FLIGHT => {
                chores.push(greet(desk.clone(), Socket::new(client)).boxed());
            }
            Some(()) = chores.next(), if !chores.is_empty() => {}
        }
    }
}

fn register(io: &SocketIo, desk: &Arc<Desk>) {
    commands::register(&io.namespace(desk.options.namespace.as_str()), desk);
    let for_sockets = desk.clone();
    io.on_server_event(SOCKETS, move |io, _| {
        let desk = for_sockets.clone();
        async move { own_sockets(&io, &desk) }
    });
    let for_watch = desk.clone();
    io.on_server_event(WATCH, move |_, event| {
        let time = event.parse::<u64>().map_or(Duration::ZERO, Duration::from_millis);
        for_watch.watch_for(time.min(WATCH_FOR));
        async {}
    });
    let for_seek = desk.clone();
    io.on_server_event(SEEK, move |io, _| {
        let has_admins = for_seek.num_admins() > 0;
        async move {
            if has_admins {
                announce(io).await;
            }
        }
    });
}

fn admins(server: &Server, desk: &Desk) -> Broadcast {
    server.hub.broadcast().of(desk.options.namespace.as_str())
}

async fn seek(io: SocketIo) {
    io.ready().await;
    log_failed(io.server_side_emit(SEEK, &()).await);
}

async fn announce(io: SocketIo) {
    let time = u64::try_from(WATCH_FOR.as_millis()).unwrap_or(u64::MAX);
    log_failed(io.server_side_emit(WATCH, &time).await);
}

/// Tells an administrator that has just connected how things stand, on every server.
///
/// The page forgets all clients it knows of when it gets this, so there is one list. A client of another server that comes or goes within
/// the round trip may be missed.
async fn greet(desk: Arc<Desk>, admin: Socket) {
    if !desk.options.tells_everything() {
        return;
    }
    let io = admin.io();
    announce(io.clone()).await;
    let mut descriptions = Vec::new();
    match io.server_side_call(SOCKETS, &(), ASK_FOR).await {
        Ok(answers) => {
            if !answers.missing_servers.is_empty() {
                let missing = answers.missing_servers.len();
                tracing::warn!(target: "socket_io", missing, "an administrator is not told of the clients of servers that did not answer");
            }
            descriptions.extend(answers.found.into_iter().filter_map(|answer| answer.payload));
        }
        Err(error) => log_failed(Err(error)),
    }
    descriptions.push(own_sockets(&io, &desk));
    let lists: Vec<_> = descriptions
        .iter()
        .filter_map(|list| inner(list.inner_json()))
        .collect();
    let json = format!("[[{}]]", lists.join(","));
    // An administrator that is gone need not know.
    let _ = admin.emit_payload("all_sockets", Payload::from_trusted(json.into(), Vec::new()));
}

/// Returns what stands in an array; `None` if that is nothing, or no array.
fn inner(json: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(json).ok()?;
    let inner = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    (!inner.is_empty()).then_some(inner)
}

/// Describes the clients of this server, in all namespaces: one argument, an array.
fn own_sockets(io: &SocketIo, desk: &Desk) -> Payload {
    let server = io.server();
    let names = server.namespaces.names();
    let recipients = |name| server.hub.registry().recipients(name, &Target::Everyone, &[], &[]);
    let selections: Vec<Recipients<Arc<Client>>> = names.iter().map(recipients).collect();
    let clients = selections.iter().flat_map(Recipients::iter);
    let limit = desk.options.max_sockets;
    let redacted = &desk.options.redacted_headers;
    let descriptions: Vec<_> = clients
        .take(limit.saturating_add(1))
        .map(|member| describe::client(&member.handle, redacted))
        .collect();
    if descriptions.len() > limit {
        tracing::warn!(target: "socket_io", limit, "an administrator is not told of all clients: there are more than the limit");
    }
    let json = format!("[[{}]]", descriptions[..descriptions.len().min(limit)].join(","));
    Payload::from_trusted(json.into(), Vec::new())
}

fn log_failed(told: Result<(), Error>) {
    static FAILED: LimitedLog = LimitedLog::new();
    let Err(error) = told else { return };
    if let Some(suppressed) = FAILED.pass() {
        tracing::warn!(target: "socket_io", %error, suppressed, "administrators on other servers may not have been told");
    }
}
