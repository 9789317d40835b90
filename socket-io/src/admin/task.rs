//! The task that tells administrators what there is to tell.

mod greeting;

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use futures_util::{FutureExt, StreamExt};
use hub::Hub;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::message::{Emit, Message};
use manager_api::{Broadcast, Error, EventName};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::commands;
use super::feed::{AdminEvent, AdminFeed, Dropped};
use super::stats::Stats;
use crate::client::{Client, HubDelivery};
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
const MAX_NEW_ADMINS: usize = 64;

static SLOW_BROKER: Dropped = Dropped::because("the broker takes less than there is to tell those of other servers");

/// The receiving ends of a [`Desk`].
pub(crate) struct AdminReceiver {
    pub(super) events: mpsc::Receiver<AdminEvent>,
    pub(super) new_admins: mpsc::Receiver<Arc<Client>>,
}

/// Registers what administrators and the other servers may say, and begins to tell.
///
/// # Panics
///
/// If called outside a tokio runtime.
pub(crate) fn start(io: &SocketIo, feed: Arc<AdminFeed>, receiver: AdminReceiver) {
    register(io, &feed);
    let seeking = seek(io.server().hub.clone());
    let task = tokio::spawn(run(Arc::downgrade(io.server()), feed, receiver, seeking.boxed()));
    io.set_telling(task.abort_handle());
}

/// Tells what there is to tell, for as long as the server lives, which this does not keep.
async fn run(server: Weak<Server>, feed: Arc<AdminFeed>, receiver: AdminReceiver, seeking: BoxFuture<'static, ()>) {
    let AdminReceiver {
        mut events,
        mut new_admins,
    } = receiver;
    let mut ticks = every(feed.options.stats_interval);
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
                let payload = stats.next(&server, &feed);
                let everybody = admins(&server, &feed);
                // While the broker does not answer, this server's own administrators are told all the same.
                let whom = if publishing.is_some() { everybody.local() } else { everybody };
                let sent = whom.emit_payload("server_stats", payload);
                match publishing {
                    Some(_) => drop(sent.await),
                    None => publishing = Some(sent),
                }
            }
            sent = async { publishing.as_mut().expect("checked below").await }, if publishing.is_some() => {
                publishing = None;
                log_failed(sent);
            }
            _ = announcements.tick(), if feed.num_admins() > 0 && chores.is_empty() => {
                let Some(server) = server.upgrade() else { return };
                chores.push(announce(server.hub.clone()).boxed());
            }
            Some(()) = chores.next(), if !chores.is_empty() => {}
            Some(event) = events.recv() => {
                let Some(server) = server.upgrade() else { return };
                tell(&server, &feed, event, &mut telling).await;
            }
            Some(sent) = telling.next(), if !telling.is_empty() => log_failed(sent),
            Some(client) = new_admins.recv(), if asking.len() < MAX_NEW_ADMINS => {
                asking.push(Greeting::gather(client, feed.clone()));
            }
            Some(greeting) = asking.next(), if !asking.is_empty() => {
                let Some(server) = server.upgrade() else { return };
                // What was noted is in the list of clients already: told after it, it would seem to come anew.
                for _ in 0..events.len() {
                    let Ok(event) = events.try_recv() else { break };
                    tell(&server, &feed, event, &mut telling).await;
                    // Thousands may wait.
                    tokio::task::consume_budget().await;
                }
                greeting.send(&server, &feed).await;
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
    feed: &AdminFeed,
    event: AdminEvent,
    telling: &mut FuturesOrdered<BoxFuture<'static, Result<(), Error>>>,
) {
    feed.sent(&event);
    let AdminEvent { event, payload } = event;
    let emit = feed.is_watched_remotely().then(|| {
        let event = EventName::new(event).expect("ours are valid");
        Emit::new(feed.options.namespace.clone(), event, payload.clone())
    });
    log_failed(admins(server, feed).local().emit_payload(event, payload).await);
    match emit {
        Some(_) if telling.len() >= MAX_TELLING => feed.dropped(&SLOW_BROKER),
        Some(emit) => telling.push_back(server.hub.publish(Message::Emit(emit)).boxed()),
        None => {}
    }
}

fn register(io: &SocketIo, feed: &Arc<AdminFeed>) {
    commands::register(&io.namespace(feed.options.namespace.as_str()), feed);
    greeting::register(io, feed);
    let for_watch = feed.clone();
    io.on_server_event(WATCH, move |_, event| {
        let time = event.parse::<u64>().map_or(Duration::ZERO, Duration::from_millis);
        for_watch.watch_for(time.min(WATCH_FOR));
        async {}
    });
    let for_seek = feed.clone();
    io.on_server_event(SEEK, move |io, _| {
        let has_admins = for_seek.num_admins() > 0;
        async move {
            if has_admins {
                announce(io.server().hub.clone()).await;
            }
        }
    });
}

fn admins(server: &Server, feed: &AdminFeed) -> Broadcast {
    server.hub.broadcast().of(feed.options.namespace.as_str())
}

async fn seek(hub: Arc<Hub<HubDelivery>>) {
    hub.subscribed().await;
    log_failed(hub.server_side_emit(SEEK, &()).await);
}

async fn announce(hub: Arc<Hub<HubDelivery>>) {
    let time = u64::try_from(WATCH_FOR.as_millis()).unwrap_or(u64::MAX);
    log_failed(hub.server_side_emit(WATCH, &time).await);
}

fn log_failed(sent: Result<(), Error>) {
    static FAILED: LimitedLog = LimitedLog::new();
    let Err(error) = sent else { return };
    if let Some(suppressed) = FAILED.pass() {
        quietly(
            || tracing::warn!(target: "socket_io", error = ?Escaped(error), suppressed, "administrators may not be told of all servers"),
        );
    }
}
