//! The task that tells administrators what there is to tell.

mod greeting;

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use futures_util::{FutureExt, StreamExt};
use manager_api::{Broadcast, Emit, Error, Escaped, EventName, Hub, LimitedLog, Message, quietly};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::commands;
use super::desk::{Desk, Dropped, Note};
use super::stats::Stats;
use crate::client::{Client, Local};
use crate::server::{Server, SocketIo};
use greeting::Greeting;

/// Tells the other servers that administrators look on, and for how many milliseconds.
const WATCH: &str = "sio_admin_watch";
/// Asks whether somebody looks on: a server that has just begun does not know.
const SEEK: &str = "sio_admin_seek";

/// How long others are taken to look on, and how often they say so.
const WATCH_FOR: Duration = Duration::from_secs(30);
const WATCH_EVERY: Duration = Duration::from_secs(10);

/// Notes that may be on their way to the broker; what they weigh is bounded by what may be noted in a second.
const MAX_TELLING: usize = 1_024;

/// Administrators that are greeted at a time.
const MAX_GREETINGS: usize = 64;

static SLOW_BROKER: Dropped = Dropped::because("the broker takes less than there is to tell those of other servers");

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
    let seeking = seek(io.server().hub.clone());
    let task = tokio::spawn(run(Arc::downgrade(io.server()), desk, inbox, seeking.boxed()));
    io.set_telling(task.abort_handle());
}

/// Tells what there is to tell, for as long as the server lives, which this does not keep.
async fn run(server: Weak<Server>, desk: Arc<Desk>, inbox: Inbox, seeking: BoxFuture<'static, ()>) {
    let Inbox {
        mut notes,
        mut greetings,
    } = inbox;
    let mut ticks = every(desk.options.stats_interval);
    let mut announcements = every(WATCH_EVERY);
    let mut stats = Stats::new();
    let mut publishing = None;
    let mut telling = FuturesOrdered::new();
    let mut asking = FuturesUnordered::new();
    let mut chores = FuturesUnordered::from_iter([seeking]);
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
            _ = announcements.tick(), if desk.num_admins() > 0 && chores.is_empty() => {
                let Some(server) = server.upgrade() else { return };
                chores.push(announce(server.hub.clone()).boxed());
            }
            Some(()) = chores.next(), if !chores.is_empty() => {}
            Some(note) = notes.recv() => {
                let Some(server) = server.upgrade() else { return };
                tell(&server, &desk, note, &mut telling).await;
            }
            Some(told) = telling.next(), if !telling.is_empty() => log_failed(told),
            Some(client) = greetings.recv(), if asking.len() < MAX_GREETINGS => {
                asking.push(Greeting::gather(client, desk.clone()));
            }
            Some(greeting) = asking.next(), if !asking.is_empty() => {
                let Some(server) = server.upgrade() else { return };
                // What was noted is in the list of clients already: told after it, it would seem to come anew.
                for _ in 0..notes.len() {
                    let Ok(note) = notes.try_recv() else { break };
                    tell(&server, &desk, note, &mut telling).await;
                    // Thousands may wait.
                    tokio::task::consume_budget().await;
                }
                greeting.send(&server, &desk).await;
            }
        }
    }
}

/// Ticks at once, and again each time that so much has passed. Ticks that nobody waited for do not come later.
fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Tells this server's administrators something; those of others, if there are any, when the broker gets to it.
async fn tell(
    server: &Server,
    desk: &Desk,
    note: Note,
    telling: &mut FuturesOrdered<BoxFuture<'static, Result<(), Error>>>,
) {
    desk.told(&note);
    let Note { event, payload } = note;
    let emit = desk.is_watched_from_afar().then(|| {
        let event = EventName::new(event).expect("ours are valid");
        Emit::new(desk.options.namespace.clone(), event, payload.clone())
    });
    log_failed(admins(server, desk).local().emit_payload(event, payload).await);
    match emit {
        Some(_) if telling.len() >= MAX_TELLING => desk.dropped(&SLOW_BROKER),
        Some(emit) => telling.push_back(server.hub.publish(Message::Emit(emit)).boxed()),
        None => {}
    }
}

fn register(io: &SocketIo, desk: &Arc<Desk>) {
    commands::register(&io.namespace(desk.options.namespace.as_str()), desk);
    greeting::register(io, desk);
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
                announce(io.server().hub.clone()).await;
            }
        }
    });
}

fn admins(server: &Server, desk: &Desk) -> Broadcast {
    server.hub.broadcast().of(desk.options.namespace.as_str())
}

async fn seek(hub: Arc<Hub<Local>>) {
    hub.subscribed().await;
    log_failed(hub.server_side_emit(SEEK, &()).await);
}

async fn announce(hub: Arc<Hub<Local>>) {
    let time = u64::try_from(WATCH_FOR.as_millis()).unwrap_or(u64::MAX);
    log_failed(hub.server_side_emit(WATCH, &time).await);
}

fn log_failed(told: Result<(), Error>) {
    static FAILED: LimitedLog = LimitedLog::new();
    let Err(error) = told else { return };
    if let Some(suppressed) = FAILED.pass() {
        quietly(
            || tracing::warn!(target: "socket_io", error = ?Escaped(error), suppressed, "administrators may not be told of all servers"),
        );
    }
}
