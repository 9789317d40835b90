//! The task that tells administrators what there is to tell.

mod greeting;

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use futures_util::{FutureExt, StreamExt};
use manager_api::message::{Emit, Message};
use manager_api::{Broadcast, Error, EventName};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::commands;
use super::feed::{AdminEvent, AdminFeed, AdminReceiver, Dropped};
use super::stats::Stats;
use super::watch::{self, WATCH_EVERY, announce, log_failed, seek};
use crate::server::{Server, SocketIo};
use greeting::Greeting;

/// Notes that may be on their way to the broker; what they weigh is bounded by what may be noted in a second.
const MAX_TELLING: usize = 1_024;

/// Administrators that are greeted at a time.
const MAX_NEW_ADMINS: usize = 64;

static SLOW_BROKER: Dropped = Dropped::because("the broker takes less than there is to tell those of other servers");

/// Registers what administrators and the other servers may say, and begins to tell.
///
/// # Panics
///
/// If called outside a tokio runtime.
pub(crate) fn start(io: &SocketIo, feed: Arc<AdminFeed>, receiver: AdminReceiver) {
    register(io, &feed);
    let seeking = seek(io.core().hub.clone());
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
                let all = admins(&server, &feed);
                // While the broker does not answer, this server's own administrators are told all the same.
                let recipients = if publishing.is_some() { all.local() } else { all };
                let sent = recipients.emit_payload("server_stats", payload);
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
                chores.push(announce(server.core.hub.clone()).boxed());
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
                tell_waiting(&server, &feed, &mut events, &mut telling).await;
                greeting.send(&server, &feed).await;
            }
        }
    }
}

/// Ticks at once, and again each time that so much has passed. Missed ticks are not made up for.
fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Tells the notes that wait now.
async fn tell_waiting(
    server: &Server,
    feed: &AdminFeed,
    events: &mut mpsc::Receiver<AdminEvent>,
    telling: &mut FuturesOrdered<BoxFuture<'static, Result<(), Error>>>,
) {
    for _ in 0..events.len() {
        let Ok(event) = events.try_recv() else { break };
        tell(server, feed, event, telling).await;
        // Thousands may wait.
        tokio::task::consume_budget().await;
    }
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
        Some(emit) => telling.push_back(server.core.hub.publish(Message::Emit(emit)).boxed()),
        None => {}
    }
}

fn register(io: &SocketIo, feed: &Arc<AdminFeed>) {
    commands::register(&io.namespace(&feed.options.namespace), feed);
    greeting::register(io, feed);
    watch::register(io, feed);
}

fn admins(server: &Server, feed: &AdminFeed) -> Broadcast {
    server.core.hub.broadcast().of(&feed.options.namespace)
}
