//! The starting thread: connects to the brokers and looks up the topic while publishes wait.

use std::sync::Arc;
use std::time::Duration;

use manager_api::Backoff;

use super::{Core, Producer};
use crate::error::{Failure, unusable};
use crate::status::Role;
use crate::topic::Known;

/// The limit of one request, after which the thread checks the deadlines.
const SLICE: Duration = Duration::from_millis(500);
/// The pause between requests for a topic that is being created, which the broker does not announce.
const LOOK: Duration = Duration::from_millis(10);

/// The maximum number of requests by which a new client is made to look for its producer id.
const MAX_NUDGES: usize = 20;

/// Starts the thread. It ends when `core` is ready, or no publish waits for it.
pub(crate) fn spawn(core: Arc<Core>, producer: Option<Arc<Producer>>) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name("sio-kafka-start".to_owned());
    thread.spawn(move || run(&core, producer)).map(drop)
}

/// The body of the thread.
fn run(core: &Core, mut producer: Option<Arc<Producer>>) {
    let mut backoff = Backoff::from_options(&core.connector.options.common);
    loop {
        if core.has_lost_client() {
            producer = None;
        }
        let left = core.expire();
        if core.give_up(&producer) {
            return;
        }
        let left = left.unwrap_or(SLICE).min(SLICE).max(Duration::from_millis(1));
        let pause = match attempt(core, &mut producer, left) {
            Ok(Found::Ready(ready)) => match core.become_ready(ready.clone()) {
                true => return nudge(core, &ready),
                // Its messages were purged meanwhile.
                false => continue,
            },
            Ok(Found::NotYet) => LOOK,
            Ok(Found::Unusable) => continue,
            Err(failure) => {
                let failure = core
                    .connector
                    .explained(failure, core.expire().unwrap_or(Duration::ZERO));
                core.status.failed(Role::Publishing, &failure);
                if failure.is_refused() {
                    let (label, deadline) = (core.connector.label(), core.connector.deadline());
                    core.fail_backlog(|| failure.unreachable(label, deadline));
                    continue;
                }
                backoff.next_delay()
            }
        };
        // At most until the next deadline.
        std::thread::sleep(pause.min(core.expire().unwrap_or(Duration::ZERO)).min(SLICE));
    }
}

/// Makes the client look for its producer id until the first message is accepted: by itself it looks every
/// 500 ms, but also whenever it receives metadata.
fn nudge(core: &Core, producer: &Producer) {
    for _ in 0..MAX_NUDGES {
        std::thread::sleep(LOOK);
        if core.is_settled() {
            return;
        }
        // The response itself is irrelevant.
        let _ = core.connector.known_partitions(producer.client(), SLICE);
    }
}

/// The outcome of an attempt.
enum Found {
    Ready(Arc<Producer>),
    NotYet,
    /// A client cannot be created; every caller was notified.
    Unusable,
}

/// Creates the client if there is none, and looks up the topic, for at most `limit`.
fn attempt(core: &Core, producer: &mut Option<Arc<Producer>>, limit: Duration) -> Result<Found, Failure> {
    let producer = match producer {
        Some(producer) => producer,
        None => match Producer::new(core) {
            Ok(made) => producer.insert(Arc::new(made)),
            Err(error) => {
                core.fail_backlog(|| unusable(error.clone()));
                return Ok(Found::Unusable);
            }
        },
    };
    let connector = &core.connector;
    match connector.known_partitions(producer.client(), limit) {
        Ok(Known::Partitions(_)) => Ok(Found::Ready(producer.clone())),
        Ok(_) => {
            connector.partitions(producer.client(), limit.max(SLICE))?;
            Ok(Found::NotYet)
        }
        // The client's own report says more than a missing response.
        Err(failure) if failure.is_refused() => Err(failure),
        Err(failure) => Err(core.status.failure(Role::Publishing).unwrap_or(failure)),
    }
}
