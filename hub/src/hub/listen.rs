//! The listening half of a hub.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::message::{Emit, Envelope, Message};
use manager_api::{Backoff, ClientManager, Error, ErrorKind, HostId, Incoming, Subscription, wire};
use tokio::time::{Instant, MissedTickBehavior};

use super::metrics::Counters;
use super::outgoing::Queued;
use super::{Hub, keys};
use crate::deliver::Deliver;
use crate::registry::Recipients;

/// Acknowledgements for other processes that are published at a time.
const CALLBACKS_IN_FLIGHT: usize = 256;

/// The first wait before the hub subscribes again, and the longest. A subscription that held longer than the first one was a good one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How often questions of other processes are looked through for those whose time is over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

impl<D: Deliver> Hub<D> {
    /// Listens to the channel and carries out what the other processes say, until the manager is closed; returns at once without a manager.
    ///
    /// Subscribing is tried for ever, with back-off, and again if a subscription ends although the manager is not closed. Run it once, as a
    /// task of its own.
    pub async fn run(self: Arc<Self>) {
        let Some(manager) = self.manager.clone() else {
            return;
        };
        let (hub, manager) = (&*self, &*manager);
        tokio::select! {
            () = hub.supervised("listening", || hub.listen_for_ever(manager)) => {}
            () = hub.supervised("publishing of answers", || hub.publish_callbacks(manager)) => {}
            () = hub.supervised("sweep", || hub.sweep()) => {}
            () = hub.supervised("answering of hellos", || hub.say_here()) => {}
            () = hub.supervised("hello after a gap", || hub.say_hello_again()) => {}
            () = hub.supervised("events for this server", || hub.run_events()) => {}
        }
        self.set_listening(false);
    }

    /// Listens until the manager is closed.
    async fn listen_for_ever(&self, manager: &dyn ClientManager) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut was_short = false;
        while let Some(subscription) = self.subscribe(manager, &mut backoff).await {
            let is_first = !*self.subscribed.borrow();
            match is_first {
                true => self.say_hello(),
                false => self.missed("the subscription had ended and was made again"),
            }
            self.subscribed.send_replace(true);
            self.set_listening(true);
            let since = Instant::now();
            self.listen(subscription).await;
            self.set_listening(false);
            // It is asked for again at once, for most end because the manager is closed, but not again and again.
            let is_short = since.elapsed() <= FIRST_WAIT;
            match is_short {
                true if was_short => tokio::time::sleep(backoff.next_delay()).await,
                true => {}
                false => backoff.reset(),
            }
            was_short = is_short;
        }
    }

    /// Subscribes; `None` once the manager is closed.
    async fn subscribe(&self, manager: &dyn ClientManager, backoff: &mut Backoff) -> Option<Subscription> {
        loop {
            // Where a panic ended the last one.
            self.set_listening(false);
            match manager.subscribe().await {
                Ok(subscription) => return Some(subscription),
                Err(error) if error.kind() == ErrorKind::Closed => return None,
                Err(error) => {
                    let delay = backoff.next_delay();
                    self.note_subscribe_failure(&error, delay);
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }

    /// Takes what a subscription yields until it ends. It outlives a panic, so that nothing but what was being taken is missed.
    async fn listen(&self, mut subscription: Subscription) {
        while AssertUnwindSafe(self.take_all(&mut subscription))
            .catch_unwind()
            .await
            .is_err()
        {
            self.note_restart("listening");
            self.missed("the listener panicked and was started again");
            tokio::task::yield_now().await;
        }
    }

    async fn take_all(&self, subscription: &mut Subscription) {
        while let Some(incoming) = subscription.recv().await {
            match incoming {
                Incoming::Message(message) => {
                    if !wire::is_presence(&message) {
                        Counters::add(&self.counters.received);
                    }
                    if AssertUnwindSafe(self.take(message)).catch_unwind().await.is_err() {
                        Counters::add(&self.counters.panics);
                        delivery_panicked();
                    }
                }
                Incoming::Gap { reason } => self.missed(&reason),
                // Of a later version of the contract: not understood is missed.
                _ => self.missed("the manager yielded what this hub does not know"),
            }
        }
    }

    /// Takes note that messages may have been missed, those of servers that came or went among them.
    fn missed(&self, reason: &str) {
        static GAP: LimitedLog = LimitedLog::new();
        Counters::add(&self.counters.gaps);
        self.had_gap.notify_one();
        if let Some(suppressed) = GAP.pass() {
            let reason = Escaped(reason);
            quietly(|| tracing::warn!(suppressed, ?reason, "messages of other processes may have been missed"));
        }
    }

    async fn take(&self, message: Bytes) {
        if self.own_mark.is_on(&message) {
            if !wire::is_presence(&message) {
                Counters::add(&self.counters.own);
            }
            return;
        }
        match wire::decode_within(&message, self.options.decode_limits()) {
            Ok(envelope) => self.carry_out(envelope).await,
            Err(reason) => self.pass_over(&reason, &message),
        }
    }

    async fn carry_out(&self, envelope: Envelope) {
        let is_own = envelope.host_id.as_ref() == Some(&self.host_id);
        match envelope.message {
            Message::Callback(callback) if is_own => self.acks.acknowledge_remote(callback),
            Message::Callback(_) => {}
            _ if is_own => Counters::add(&self.counters.own),
            Message::Emit(emit) => self.emit_remote(emit, envelope.host_id).await,
            message => {
                if let Some((origin, message)) = self.requester.take(envelope.host_id, message) {
                    self.take_from_server(origin, message).await;
                }
            }
        }
    }

    async fn emit_remote(&self, emit: Emit, origin: Option<HostId>) {
        let recipients = self.recipients(&emit).await;
        self.deliver_remote(&emit, origin, &recipients).await;
    }

    pub(super) async fn deliver_remote(&self, emit: &Emit, origin: Option<HostId>, recipients: &Recipients<D::Client>) {
        if !recipients.is_empty()
            && let Err(error) = self.deliver.check(emit)
        {
            return self.not_delivering(emit, &error);
        }
        if let (Some(question), Some(origin)) = (emit.report, &origin) {
            // Queued before any client can answer, so that it is known by then that the client may.
            self.respond_recipients(origin, question, recipients).await;
        }
        if recipients.is_empty() {
            return;
        }
        let ack = match (&emit.callback, origin) {
            (Some(address), Some(origin)) => {
                let expected = keys(recipients).await;
                let wanted = emit.ack_timeout.unwrap_or(self.options.ack_timeout);
                let timeout = wanted.min(self.options.max_ack_timeout);
                let (address, report) = (address.clone(), emit.report);
                let question = self.acks.expect_for(origin, address, expected, timeout, report).await;
                match question {
                    Some(question) => self.forget_gone(&emit.namespace, recipients, question).await,
                    None => self.not_asking(),
                }
                question
            }
            _ => None,
        };
        self.deliver_local(emit, recipients, ack).await;
    }

    fn not_delivering(&self, emit: &Emit, error: &Error) {
        static NOT_DELIVERING: LimitedLog = LimitedLog::new();
        Counters::add(&self.counters.undecodable);
        if let Some(suppressed) = NOT_DELIVERING.pass() {
            let (event, namespace) = (Escaped(&emit.event), Escaped(&emit.namespace));
            let (error, text) = (Escaped(error), "did not deliver an event of another process");
            quietly(|| tracing::error!(suppressed, ?event, ?namespace, ?error, "{text}"));
        }
    }

    fn not_asking(&self) {
        static NOT_ASKING: LimitedLog = LimitedLog::new();
        Counters::add(&self.counters.emits_without_acks);
        if let Some(suppressed) = NOT_ASKING.pass() {
            let text = "delivered an event without asking for the acknowledgements that another process wants: too many are expected";
            quietly(|| tracing::warn!(suppressed, "{text}"));
        }
    }

    fn pass_over(&self, reason: &wire::DecodeError, message: &Bytes) {
        static UNDECODABLE: LimitedLog = LimitedLog::new();
        Counters::add(&self.counters.undecodable);
        if let Some(suppressed) = UNDECODABLE.pass() {
            let message = wire::Sketch::of(message);
            let (reason, message) = (Escaped(reason), Escaped(message));
            quietly(|| tracing::warn!(suppressed, ?reason, %message, "passed over a message on the channel"));
        }
    }

    async fn sweep(&self) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.acks.sweep().await;
        }
    }

    /// Publishes the acknowledgements of this host's clients; never completes.
    async fn publish_callbacks(&self, manager: &dyn ClientManager) {
        static FAILED: LimitedLog = LimitedLog::new();
        let mut queued = self.queued_callbacks.lock().await;
        let mut in_flight = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(Queued { message, room }) = queued.recv(), if in_flight.len() < CALLBACKS_IN_FLIGHT => {
                    in_flight.push(async move {
                        let published = manager.publish(message).await;
                        drop(room);
                        published
                    });
                }
                // Successes are taken here, too: a branch whose pattern does not match is not polled again before the other one is done.
                Some(published) = in_flight.next() => {
                    let Err(error) = published else { continue };
                    Counters::add(&self.counters.callbacks_dropped);
                    if let Some(suppressed) = FAILED.pass() {
                        let error = Escaped(error);
                        quietly(|| tracing::warn!(suppressed, ?error, "an answer did not reach the process that asked"));
                    }
                }
                else => std::future::pending().await,
            }
        }
    }
}

fn delivery_panicked() {
    static PANICKED: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = PANICKED.pass() {
        let text = "delivering a message from the channel panicked; it is passed over";
        quietly(|| tracing::error!(suppressed, "{text}"));
    }
}
