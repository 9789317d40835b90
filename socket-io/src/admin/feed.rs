//! The feed of the administrators: what clients do, until the administrators are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use manager_api::log::{LimitedLog, quietly};
use manager_api::{NamespaceName, Payload, Room};
use tokio::sync::mpsc;

use super::{Admin, describe};
use crate::client::{Client, Observe};
use crate::error::DisconnectReason;

/// Notes that may wait to be told, and their bytes; more are dropped and logged.
const MAX_EVENTS: usize = 8_192;
const MAX_BYTES: usize = 16 << 20;

/// Administrators that may wait to be told how things stand.
const MAX_NEW_ADMINS: usize = 64;

/// Something that administrators are to be told.
pub(super) struct AdminEvent {
    pub(super) event: &'static str,
    pub(super) payload: Payload,
}

/// Where what happens is written down, until it is told; and who is to be told.
pub(crate) struct AdminFeed {
    pub(super) options: Admin,
    pub(super) began: Instant,
    /// Administrators that are connected to this server.
    num_admins: AtomicUsize,
    /// Until when those of other servers watch, in milliseconds since it began.
    watched_until: AtomicU64,
    events: mpsc::Sender<AdminEvent>,
    num_bytes: AtomicUsize,
    new_admins: mpsc::Sender<Arc<Client>>,
    event_budget: Budget,
    byte_budget: Budget,
    num_dropped: AtomicU64,
}

/// The receiving ends of a [`AdminFeed`].
pub(crate) struct AdminReceiver {
    pub(super) events: mpsc::Receiver<AdminEvent>,
    pub(super) new_admins: mpsc::Receiver<Arc<Client>>,
}

impl AdminFeed {
    pub(crate) fn new(options: Admin) -> (Arc<Self>, AdminReceiver) {
        let (events, event_receiver) = mpsc::channel(MAX_EVENTS);
        let (new_admins, to_greet) = mpsc::channel(MAX_NEW_ADMINS);
        let feed = Arc::new(Self {
            event_budget: Budget::new(options.max_events_per_second),
            byte_budget: Budget::new(options.max_bytes_per_second),
            num_dropped: AtomicU64::new(0),
            options,
            began: Instant::now(),
            num_admins: AtomicUsize::new(0),
            watched_until: AtomicU64::new(0),
            events,
            num_bytes: AtomicUsize::new(0),
            new_admins,
        });
        let receiver = AdminReceiver {
            events: event_receiver,
            new_admins: to_greet,
        };
        (feed, receiver)
    }

    pub(super) fn num_admins(&self) -> usize {
        self.num_admins.load(Ordering::Relaxed)
    }

    /// Takes note that administrators of another server watch for some time.
    pub(super) fn watch_for(&self, time: Duration) {
        let until = self.now().saturating_add(millis(time));
        self.watched_until.fetch_max(until, Ordering::Relaxed);
    }

    /// Tells whether administrators of other servers watch.
    pub(super) fn is_watched_remotely(&self) -> bool {
        let until = self.watched_until.load(Ordering::Relaxed);
        until > 0 && self.now() < until
    }

    /// Takes note that a note was told.
    pub(super) fn sent(&self, event: &AdminEvent) {
        self.num_bytes.fetch_sub(event.payload.size(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }

    /// Takes note that something was not told.
    pub(super) fn dropped(&self, why: &'static Dropped) {
        self.num_dropped.fetch_add(1, Ordering::Relaxed);
        if let Some(suppressed) = why.limit.pass() {
            quietly(
                || tracing::warn!(target: "socket_io", reason = why.reason, suppressed, "administrators are not told of all that happens"),
            );
        }
    }

    fn record(&self, event: &'static str, payload: Payload) {
        match self.byte_budget.spend(self.now(), payload.size()) {
            true => self.queue(event, payload),
            false => self.dropped(&TOO_LARGE),
        }
    }

    fn queue(&self, event: &'static str, payload: Payload) {
        let size = payload.size();
        let fits = self.num_bytes.fetch_add(size, Ordering::Relaxed) + size <= MAX_BYTES;
        if !fits || self.events.try_send(AdminEvent { event, payload }).is_err() {
            self.num_bytes.fetch_sub(size, Ordering::Relaxed);
            self.dropped(&TOO_SLOW);
        }
    }

    /// Notes an event that passed, with its arguments as they are; paid for before they are copied.
    fn record_event(&self, event: &'static str, client: &Client, name: &str, payload: &Payload) {
        let now = self.now();
        if !self.event_budget.spend(now, 1) {
            return self.dropped(&TOO_MANY);
        }
        if !self.byte_budget.spend(now, payload.size().saturating_add(name.len())) {
            return self.dropped(&TOO_LARGE);
        }
        let mut text = Text::about(client);
        text.raw(b"[");
        text.string(name);
        if !payload.is_empty() {
            text.raw(b",");
            text.raw(payload.inner_json());
        }
        text.raw(b"],");
        self.queue(event, text.end(payload));
    }

    fn note_room(&self, event: &'static str, client: &Client, room: &str) {
        let mut text = Text::about_namespace(client);
        text.string(room);
        text.raw(b",");
        text.string(client.sid.as_str());
        text.raw(b",");
        self.record(event, text.end(&Payload::empty()));
    }

    fn is_admin(&self, client: &Client) -> bool {
        *client.namespace() == self.options.namespace
    }
}

impl Observe<Client> for AdminFeed {
    fn watches(&self, _: &NamespaceName) -> bool {
        self.options.tells_everything() && (self.num_admins() > 0 || self.is_watched_remotely())
    }

    fn connected(&self, client: &Arc<Client>) {
        if self.is_admin(client) {
            self.num_admins.fetch_add(1, Ordering::Relaxed);
            if self.new_admins.try_send(client.clone()).is_err() {
                self.dropped(&TOO_CROWDED);
            }
        }
        if !self.watches(client.namespace()) {
            return;
        }
        // The page expects the rooms before the client, as Node's server tells them.
        let registry = client.core().hub.registry();
        for room in registry.rooms_of(client.namespace(), &client.sid).unwrap_or_default() {
            self.note_room("room_joined", client, room.as_str());
        }
        let mut text = Text::new();
        text.raw(describe::client(client, &self.options.redacted_headers).as_bytes());
        text.raw(b",");
        self.record("socket_connected", text.end(&Payload::empty()));
    }

    fn disconnected(&self, client: &Client, reason: DisconnectReason, rooms: &[Room]) {
        if self.watches(client.namespace()) {
            let mut text = Text::about(client);
            text.string(reason.as_str());
            text.raw(b",");
            self.record("socket_disconnected", text.end(&Payload::empty()));
            for room in rooms {
                self.note_room("room_left", client, room.as_str());
            }
        }
        if self.is_admin(client) {
            self.num_admins.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn upgraded(&self, client: &Client) {
        let (id, nsp) = (client.sid.as_str(), client.namespace().as_str());
        let update = serde_json::json!({"id": id, "nsp": nsp, "transport": "websocket"});
        let payload = Payload::new(&update).expect("strings are JSON");
        self.record("socket_updated", payload);
    }

    fn entered(&self, client: &Client, room: &Room) {
        self.note_room("room_joined", client, room.as_str());
    }

    fn left(&self, client: &Client, room: &Room) {
        self.note_room("room_left", client, room.as_str());
    }

    fn received(&self, client: &Client, event: &str, payload: &Payload) {
        if !self.is_admin(client) {
            self.record_event("event_received", client, event, payload);
        }
    }

    fn sent(&self, client: &Client, event: &str, payload: &Payload) {
        // What administrators are told would be told again, for ever.
        if !self.is_admin(client) {
            self.record_event("event_sent", client, event, payload);
        }
    }

    fn num_dropped(&self) -> u64 {
        self.num_dropped.load(Ordering::Relaxed)
    }
}

/// Why something was not told.
pub(super) struct Dropped {
    reason: &'static str,
    limit: LimitedLog,
}

impl Dropped {
    pub(super) const fn because(reason: &'static str) -> Self {
        let limit = LimitedLog::new();
        Self { reason, limit }
    }
}

static TOO_MANY: Dropped = Dropped::because("there are more events in a second than they want to know of");
static TOO_LARGE: Dropped = Dropped::because("there is more in a second than they want to read");
static TOO_SLOW: Dropped = Dropped::because("too much waits to be told");
static TOO_CROWDED: Dropped = Dropped::because("too many of them connected at once");

/// How much of something there may be in each second.
struct Budget {
    limit: u32,
    /// The second in the upper half, what was spent in it in the lower.
    spent: AtomicU64,
}

impl Budget {
    fn new(limit: u32) -> Self {
        Self {
            limit,
            spent: AtomicU64::new(0),
        }
    }

    /// Spends some of what there is in this second; `now` is in milliseconds. Tells whether there was enough.
    fn spend(&self, now: u64, amount: usize) -> bool {
        let second = (now / 1_000) << 32;
        let amount = u64::try_from(amount).unwrap_or(u64::MAX);
        let spend = |spent: u64| {
            let used = if spent & !0xffff_ffff == second {
                spent & 0xffff_ffff
            } else {
                0
            };
            let used = used.saturating_add(amount);
            (used <= u64::from(self.limit)).then_some(second | used)
        };
        self.spent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok()
    }
}

/// Writes arguments, the last of which is the time.
struct Text(Vec<u8>);

impl Text {
    fn new() -> Self {
        Self(b"[".to_vec())
    }

    fn about_namespace(client: &Client) -> Self {
        let mut text = Self::new();
        text.string(client.namespace().as_str());
        text.raw(b",");
        text
    }

    fn about(client: &Client) -> Self {
        let mut text = Self::about_namespace(client);
        text.string(client.sid.as_str());
        text.raw(b",");
        text
    }

    fn raw(&mut self, json: &[u8]) {
        self.0.extend_from_slice(json);
    }

    fn string(&mut self, string: &str) {
        serde_json::to_writer(&mut self.0, string).expect("a string is JSON");
    }

    /// Adds the time; placeholders stand for the attachments of `quoted`.
    fn end(mut self, quoted: &Payload) -> Payload {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.string(&describe::iso(millis(since)));
        self.raw(b"]");
        Payload::from_trusted(self.0.into(), quoted.attachments().to_vec())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn a_budget_is_renewed_every_second() {
        let budget = Budget::new(2);
        let spent = |now| (0..3).filter(|_| budget.spend(now, 1)).count();
        assert_eq!([spent(0), spent(999), spent(1_000), spent(5_500)], [2, 0, 2, 2]);
        assert!(!Budget::new(0).spend(7, 1));
    }

    #[test]
    fn what_does_not_fit_into_a_budget_spends_nothing_of_it() {
        let budget = Budget::new(10);
        assert!(!budget.spend(0, usize::MAX) && !budget.spend(0, 11));
        assert!(budget.spend(0, 10) && !budget.spend(0, 1));
        assert!(Budget::new(u32::MAX).spend(1_000, u32::MAX as usize));
    }
}
