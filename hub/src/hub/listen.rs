//! The receiving side of a hub: its subscription, and the messages of other processes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::message::{Emit, Envelope, Message};
use manager_api::wire::python::Sketch;
use manager_api::wire::{Arrival, Arrivals, Messenger};
use manager_api::{Backoff, Error, ErrorKind, HostId};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::Instrument;

use super::metrics::Counters;
use super::observed::deliver_span;
use super::outgoing::Queued;
use super::{Hub, keys};
use crate::deliver::Deliver;
use crate::registry::Recipients;

/// Acknowledgements and responses for other processes that are published concurrently.
const CALLBACKS_IN_FLIGHT: usize = 256;

/// The first wait before the hub subscribes again, and the longest. A subscription that outlived the first wait resets
/// the back-off.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The interval between removals of expired events of other processes from the table of acknowledgements, and of
/// expired keys.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

impl<D: Deliver> Hub<D> {
    /// Subscribes to the channel and handles the messages of other processes until the manager is closed; returns at
    /// once without a manager.
    ///
    /// Subscribing is retried for ever, with back-off, and repeated if a subscription ends although the manager is not
    /// closed. Run it once, as a task of its own.
    pub async fn run(self: Arc<Self>) {
        let Some(messenger) = self.messenger.clone() else {
            return;
        };
        let (hub, messenger) = (&*self, &*messenger);
        tokio::select! {
            () = hub.supervised("listening", || hub.listen_for_ever(messenger)) => {}
            () = hub.supervised("publishing of responses", || hub.publish_callbacks()) => {}
            () = hub.supervised("sweep", || hub.sweep()) => {}
            () = hub.supervised("presence", || hub.confirm_presence()) => {}
            () = hub.supervised("announcements after gaps", || hub.announce_after_gaps()) => {}
            () = hub.supervised("events for this server", || hub.run_events()) => {}
        }
        self.set_listening(false);
    }

    /// Listens until the manager is closed.
    async fn listen_for_ever(&self, messenger: &dyn Messenger) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut was_short = false;
        while let Some(arrivals) = self.subscribe(messenger, &mut backoff).await {
            let is_first = !*self.subscribed.borrow();
            if is_first {
                self.announce();
            } else {
                self.note_gap("the subscription had ended and was replaced");
            }
            self.subscribed.send_replace(true);
            self.set_listening(true);
            let since = Instant::now();
            self.listen(arrivals).await;
            self.set_listening(false);
            // A first short subscription is replaced at once: most end because the manager is
            // closed. Further ones wait.
            let is_short = since.elapsed() <= FIRST_WAIT;
            if !is_short {
                backoff.reset();
            } else if was_short {
                tokio::time::sleep(backoff.next_delay()).await;
            }
            was_short = is_short;
        }
    }

    /// Subscribes; `None` once the manager is closed.
    async fn subscribe(&self, messenger: &dyn Messenger, backoff: &mut Backoff) -> Option<Arrivals> {
        loop {
            // A panic may have ended the previous subscription.
            self.set_listening(false);
            match messenger.receive().await {
                Ok(arrivals) => return Some(arrivals),
                Err(error) if error.kind() == ErrorKind::Closed => return None,
                Err(error) => {
                    let delay = backoff.next_delay();
                    self.note_subscribe_failure(&error, delay);
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }

    /// Handles the items of a subscription until it ends. The subscription survives a panic, so that only the current
    /// item is missed.
    async fn listen(&self, mut arrivals: Arrivals) {
        while AssertUnwindSafe(self.receive_all(&mut arrivals))
            .catch_unwind()
            .await
            .is_err()
        {
            self.note_restart("listening");
            self.note_gap("the listener panicked and was started again");
            tokio::task::yield_now().await;
        }
    }

    /// Handles the items of a subscription. A message whose delivery panics is counted and passed over.
    async fn receive_all(&self, arrivals: &mut Arrivals) {
        while let Some(arrival) = arrivals.next().await {
            match arrival {
                Arrival::Message(envelope) => {
                    if !envelope.message.is_presence() {
                        Counters::add(&self.counters.received);
                    }
                    if AssertUnwindSafe(self.dispatch(envelope)).catch_unwind().await.is_err() {
                        Counters::add(&self.counters.panics);
                        delivery_panicked();
                    }
                }
                Arrival::Own { is_presence: true } => {}
                Arrival::Own { is_presence: false } => {
                    Counters::add(&self.counters.received);
                    Counters::add(&self.counters.own);
                }
                Arrival::Undecodable { reason, message } => {
                    Counters::add(&self.counters.received);
                    self.note_undecodable(&*reason, &message);
                }
                Arrival::Gap { reason } => self.note_gap(&reason),
            }
        }
    }

    /// Counts and logs that messages may have been missed, and triggers an announcement: presence messages may be among
    /// them.
    fn note_gap(&self, reason: &str) {
        static GAP: LimitedLog = LimitedLog::new();
        Counters::add(&self.counters.gaps);
        self.had_gap.notify_one();
        if let Some(suppressed) = GAP.pass() {
            let reason = Escaped(reason);
            quietly(|| tracing::warn!(suppressed, ?reason, "messages of other processes may have been missed"));
        }
    }

    /// Passes a message to the part of the hub that it is for: acknowledgements, events, requests and their responses.
    /// A message of this host that was not recognised by its mark is dropped here.
    async fn dispatch(&self, envelope: Envelope) {
        let is_own = envelope.host_id.as_ref() == Some(&self.host_id);
        match envelope.message {
            Message::Callback(callback) if is_own => self.acks.acknowledge_remote(callback),
            Message::Callback(_) => {}
            _ if is_own => Counters::add(&self.counters.own),
            Message::Emit(emit) => self.emit_remote(emit, envelope.host_id).await,
            message => {
                if let Some((origin, message)) = self.requester.receive(envelope.host_id, message) {
                    self.handle_cluster_message(origin, message).await;
                }
            }
        }
    }

    /// Delivers an event of another process, within the span of its trace if it has one. A repeat is not delivered.
    async fn emit_remote(&self, emit: Emit, origin: Option<HostId>) {
        self.note_malformed(&emit);
        if let Some(num_clients) = self.repeated(&emit) {
            return self.respond_to_repeat(&emit, origin.as_ref(), num_clients);
        }
        match deliver_span(&emit) {
            None => self.deliver_emit(&emit, origin).await,
            // Boxed, so that events without a trace have no larger future.
            Some(span) => Box::pin(self.deliver_emit(&emit, origin)).instrument(span).await,
        }
    }

    /// Selects the recipients of an event of another process, and delivers it to them.
    async fn deliver_emit(&self, emit: &Emit, origin: Option<HostId>) {
        let recipients = self.recipients(emit).await;
        self.deliver_remote(emit, origin, &recipients).await;
    }

    /// Delivers an event of another process: reports its recipients and registers their acknowledgements first, if the
    /// sender waits for either, and the number of clients that took it last.
    pub(super) async fn deliver_remote(&self, emit: &Emit, origin: Option<HostId>, recipients: &Recipients<D::Client>) {
        if !recipients.is_empty()
            && let Err(error) = self.deliver.check(emit)
        {
            self.note_undeliverable(emit, &error);
            return self.respond_receipt(emit, origin.as_ref(), 0);
        }
        if let (Some(request), Some(origin)) = (emit.report, &origin) {
            // Queued before any client can acknowledge, so that the origin knows the recipients
            // first.
            self.respond_recipients(origin, request, recipients).await;
        }
        if recipients.is_empty() {
            return self.respond_receipt(emit, origin.as_ref(), 0);
        }
        let ack = match (&emit.callback, origin.clone()) {
            (Some(address), Some(origin)) => {
                let expected = keys(recipients).await;
                let requested = emit.ack_timeout.unwrap_or(self.options.ack_timeout);
                let timeout = requested.min(self.options.max_ack_timeout);
                let (address, report) = (address.clone(), emit.report);
                let ack = self.acks.expect_for(origin, address, expected, timeout, report).await;
                match ack {
                    Some(ack) => self.forget_removed(&emit.namespace, recipients, ack).await,
                    None => self.note_emit_without_acks(),
                }
                ack
            }
            _ => None,
        };
        let num_taken = self.deliver_local(emit, recipients, ack).await;
        self.note_delivered(emit, num_taken);
        self.respond_receipt(emit, origin.as_ref(), num_taken);
    }

    /// Counts and logs an event of another process that must not be sent to clients.
    fn note_undeliverable(&self, emit: &Emit, error: &Error) {
        static UNDELIVERABLE: LimitedLog = LimitedLog::new();
        Counters::add(&self.counters.undecodable);
        if let Some(suppressed) = UNDELIVERABLE.pass() {
            let (event, namespace) = (Escaped(&emit.event), Escaped(&emit.namespace));
            let (error, text) = (Escaped(error), "did not deliver an event of another process");
            quietly(|| tracing::error!(suppressed, ?event, ?namespace, ?error, "{text}"));
        }
    }

    /// Counts and logs an event that was delivered without acknowledgements.
    fn note_emit_without_acks(&self) {
        static WITHOUT_ACKS: LimitedLog = LimitedLog::new();
        Counters::add(&self.counters.emits_without_acks);
        if let Some(suppressed) = WITHOUT_ACKS.pass() {
            let text =
                "delivered an event without the acknowledgements that another process requests: too many are expected";
            quietly(|| tracing::warn!(suppressed, "{text}"));
        }
    }

    /// Counts and logs a message that cannot be decoded, with its beginning.
    fn note_undecodable(&self, reason: &(dyn std::error::Error + Send + Sync), message: &Bytes) {
        static UNDECODABLE: LimitedLog = LimitedLog::new();
        Counters::add(&self.counters.undecodable);
        if let Some(suppressed) = UNDECODABLE.pass() {
            let message = Sketch::of(message);
            let (reason, message) = (Escaped(reason), Escaped(message));
            quietly(|| tracing::warn!(suppressed, ?reason, %message, "skipped a message on the channel"));
        }
    }

    /// Removes what has expired, every second; never completes.
    async fn sweep(&self) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.acks.sweep().await;
            self.recent_keys.sweep().await;
        }
    }

    /// Publishes queued acknowledgements and responses; never completes.
    async fn publish_callbacks(&self) {
        static FAILED: LimitedLog = LimitedLog::new();
        let mut queued = self.queued_callbacks.lock().await;
        let mut in_flight = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(Queued { publish, permit }) = queued.recv(), if in_flight.len() < CALLBACKS_IN_FLIGHT => {
                    in_flight.push(async move {
                        let published = publish.await;
                        drop(permit);
                        published
                    });
                }
                // The pattern matches successes, too: a branch whose pattern fails is disabled
                // until another one completes.
                Some(published) = in_flight.next() => {
                    let Err(error) = published else { continue };
                    Counters::add(&self.counters.callbacks_dropped);
                    if let Some(suppressed) = FAILED.pass() {
                        let error = Escaped(error);
                        quietly(|| tracing::warn!(suppressed, ?error, "cannot publish an acknowledgement or response to another process"));
                    }
                }
                else => std::future::pending().await,
            }
        }
    }
}

/// Logs a delivery that panicked.
fn delivery_panicked() {
    static PANICKED: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = PANICKED.pass() {
        let text = "delivering a message from the channel panicked; it is skipped";
        quietly(|| tracing::error!(suppressed, "{text}"));
    }
}
