//! The table of acknowledgements that clients of this process, or other servers, still owe.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::by_client::ByClient;
use super::{AckLimits, AckStream, ClientAck, UnreadAck};
use crate::ack::ClientKey;
use crate::byte_budget::ByteBudget;
use crate::deadline;
use crate::lock::Unpoisoned;
use crate::log::{LimitedLog, quietly};
use crate::message::{Callback, CallbackAddress};
use crate::turn::Turn;
use crate::{HostId, Payload, Sid};

/// Unread acknowledgements of one event, regardless of the byte budget; more are dropped, counted and logged.
const MAX_WAITING_ACKS: usize = 65_536;

/// Clients that are registered for an event, and events that are scanned, under one lock: some tens of microseconds.
const UNDER_ONE_LOCK: usize = 256;

/// Pending events of one client, and clients of one event, that are removed without yielding: some tenths of a
/// millisecond.
pub const FORGOTTEN_AT_ONCE: usize = 1_024;

/// The events that still wait for acknowledgements: those of this process, and those delivered to its clients for other
/// processes.
#[derive(Debug)]
pub struct AckTable {
    /// Limit of the acknowledgements expected for other processes.
    max_remote: usize,
    /// Acknowledgements expected for other processes now.
    num_remote: AtomicUsize,
    next_id: AtomicU64,
    /// A tree, because it grows and shrinks without being copied, and other processes determine its size.
    pending: Mutex<BTreeMap<u64, Pending>>,
    /// Index by client, so that removing a client costs its own events and not a scan of the table.
    by_client: Arc<ByClient>,
    /// Byte budget of unread acknowledgements for this process.
    waiting_budget: ByteBudget,
    num_dropped: AtomicU64,
}

#[derive(Debug)]
struct Pending {
    requester: Requester,
    /// The clients of this host that may still acknowledge, each once.
    expected: HashSet<ClientKey>,
    /// More clients are being registered.
    is_growing: bool,
    /// Share of [`num_remote`](AckTable::num_remote); 0 for an event of this process.
    num_remote: usize,
    /// Clients of other hosts may acknowledge too.
    is_open: bool,
    deadline: Instant,
    /// The requester's cluster request whose responses name the clients that leave without acknowledging.
    report: Option<u64>,
}

/// The recipient of a report that a client left before it acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub struct MissingAck {
    /// The process that expects the acknowledgement; `None` for this process.
    pub requester: Option<HostId>,
    /// The id of its cluster request.
    pub request: u64,
}

/// The destination of an acknowledgement.
#[derive(Debug)]
enum Requester {
    Local(mpsc::Sender<UnreadAck>),
    Remote(HostId, CallbackAddress),
}

impl Default for AckTable {
    fn default() -> Self {
        Self::new(AckLimits::default())
    }
}

impl AckTable {
    /// Creates an empty table.
    pub fn new(limits: AckLimits) -> Self {
        Self {
            max_remote: limits.max_expected_acks,
            num_remote: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
            pending: Mutex::default(),
            by_client: Arc::default(),
            waiting_budget: ByteBudget::new(limits.max_waiting_ack_bytes),
            num_dropped: AtomicU64::new(0),
        }
    }

    /// Registers an event of this process and returns its acknowledgements. `is_open`: clients of other hosts may
    /// acknowledge too. Yields while it registers many clients.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future removes the event.
    pub async fn expect(
        self: &Arc<Self>,
        expected: Vec<ClientKey>,
        is_open: bool,
        timeout: Duration,
        report: Option<u64>,
    ) -> (u64, AckStream) {
        let (sender, incoming) = mpsc::channel(MAX_WAITING_ACKS);
        let deadline = deadline::after(timeout);
        let id = self.insert(Pending {
            requester: Requester::Local(sender),
            expected: HashSet::with_capacity(expected.len()),
            is_growing: true,
            num_remote: 0,
            is_open,
            deadline,
            report,
        });
        // Removes the event when it is dropped.
        let acks = AckStream::new(incoming, deadline, self.clone(), id);
        self.expect_all(id, &expected).await;
        (id, acks)
    }

    /// Registers an event of another process; `None` if too many acknowledgements are expected for other processes
    /// already. Yields while it registers many clients.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves an event that expires at its deadline.
    pub async fn expect_for(
        &self,
        host: HostId,
        address: CallbackAddress,
        expected: Vec<ClientKey>,
        timeout: Duration,
        report: Option<u64>,
    ) -> Option<u64> {
        let fits = |num: usize| num.checked_add(expected.len()).filter(|&num| num <= self.max_remote);
        let (order, counter) = (Ordering::Relaxed, &self.num_remote);
        counter.fetch_update(order, order, fits).ok()?;
        let id = self.insert(Pending {
            requester: Requester::Remote(host, address),
            expected: HashSet::with_capacity(expected.len()),
            is_growing: true,
            num_remote: expected.len(),
            is_open: false,
            deadline: deadline::after(timeout),
            report,
        });
        self.expect_all(id, &expected).await;
        Some(id)
    }

    /// Handles an acknowledgement of a client of this host. Returns the callback to publish if the event came from
    /// another process.
    ///
    /// Acknowledgements of unknown events, repeated ones, and those of clients that were not sent the event are
    /// ignored.
    pub fn acknowledge(&self, key: ClientKey, sid: &Sid, id: u64, payload: Payload) -> Option<(HostId, Callback)> {
        let mut table = self.pending();
        let pending = table.get_mut(&id)?;
        if !pending.expected.remove(&key) {
            return None;
        }
        let publish = match &pending.requester {
            Requester::Local(sender) => {
                self.enqueue(sender, Some(sid.clone()), payload);
                None
            }
            Requester::Remote(host, address) => {
                let callback = Callback {
                    address: address.clone(),
                    payload,
                    client: Some(sid.clone()),
                };
                Some((host.clone(), callback))
            }
        };
        self.release_one(&mut table, id);
        drop(table);
        self.by_client.remove(key, id);
        publish
    }

    /// Handles an acknowledgement received over the broker.
    pub fn acknowledge_remote(&self, callback: Callback) {
        if let Some(Pending {
            requester: Requester::Local(sender),
            is_open: true,
            ..
        }) = self.pending().get(&callback.address.id)
        {
            self.enqueue(sender, callback.client, callback.payload);
        }
    }

    /// Stops waiting for a client that left, in [`FORGOTTEN_AT_ONCE`] of its events. Returns the acknowledgements to
    /// report as missing; `None` if the client has no pending events left.
    pub fn forget_some(&self, key: ClientKey) -> Option<Vec<MissingAck>> {
        let events = self.by_client.take_some(key, FORGOTTEN_AT_ONCE);
        let unexpect = |id| self.unexpect(key, id);
        (!events.is_empty()).then(|| events.into_iter().filter_map(unexpect).collect())
    }

    /// Counts the events that a client may acknowledge, up to [`FORGOTTEN_AT_ONCE`].
    pub fn num_of(&self, key: ClientKey) -> usize {
        self.by_client.num_of(key, FORGOTTEN_AT_ONCE)
    }

    /// Stops waiting for one client's acknowledgement of one event. Returns the acknowledgement to report as missing.
    pub fn forget(&self, key: ClientKey, id: u64) -> Option<MissingAck> {
        self.by_client.remove(key, id);
        self.unexpect(key, id)
    }

    /// Removes an event whose acknowledgements are not read any more. The index of one with many recipients is updated
    /// by a task.
    pub(super) fn remove(&self, id: u64) {
        let Some(ended) = self.pending().remove(&id) else {
            return;
        };
        self.release_remote(ended.num_remote);
        let (by_client, expected) = (self.by_client.clone(), ended.expected);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if expected.len() > FORGOTTEN_AT_ONCE => {
                runtime.spawn(async move { by_client.remove_all(&expected, id, &mut Turn::default()).await });
            }
            _ => expected.iter().for_each(|key| by_client.remove(*key, id)),
        }
    }

    /// Removes the expired events of other processes; yields periodically. Those of this process end with their
    /// [`AckStream`], which reports the reason.
    pub async fn sweep(&self) {
        let (now, mut turn, mut next) = (Instant::now(), Turn::default(), Some(0));
        while let Some(first) = next {
            let (expired, rest) = self.take_expired(first, now);
            next = rest;
            for (id, expected) in expired {
                self.by_client.remove_all(&expected, id, &mut turn).await;
            }
            turn.spend(UNDER_ONE_LOCK).await;
        }
    }

    /// Takes out the expired events of other processes, among the first ones from `first` on. Returns their clients, and
    /// the event to continue with.
    fn take_expired(&self, first: u64, now: Instant) -> (Vec<(u64, HashSet<ClientKey>)>, Option<u64>) {
        let mut table = self.pending();
        let scanned = table.range(first..).take(UNDER_ONE_LOCK);
        let is_expired =
            |pending: &Pending| matches!(pending.requester, Requester::Remote(..)) && pending.deadline <= now;
        let (mut expired, mut last) = (Vec::new(), None);
        for (&id, pending) in scanned {
            last = Some(id);
            expired.extend(is_expired(pending).then_some(id));
        }
        let mut take = |id| {
            let ended = table.remove(&id)?;
            self.release_remote(ended.num_remote);
            Some((id, ended.expected))
        };
        let expired = expired.into_iter().filter_map(&mut take).collect();
        (expired, last.map(|last| last + 1))
    }

    /// Returns how many acknowledgements were dropped because too many were unread.
    pub fn num_dropped(&self) -> u64 {
        self.num_dropped.load(Ordering::Relaxed)
    }

    /// Counts the events that wait for acknowledgements.
    pub fn num_pending(&self) -> usize {
        self.pending().len()
    }

    /// Counts the expected acknowledgements: clients, once per event.
    pub fn num_expected(&self) -> usize {
        self.by_client.len()
    }

    fn insert(&self, pending: Pending) -> u64 {
        // Starts at 1, as in Python; 2^53, the limit of exact integers in JavaScript, is out of
        // reach.
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        self.pending().insert(id, pending);
        id
    }

    /// Registers the clients that may acknowledge an event, until it ends.
    async fn expect_all(&self, id: u64, keys: &[ClientKey]) {
        let mut turn = Turn::default();
        for keys in keys.chunks(UNDER_ONE_LOCK) {
            if !self.expect_some(id, keys) {
                return;
            }
            turn.spend(keys.len()).await;
        }
        let mut table = self.pending();
        if let Some(pending) = table.get_mut(&id) {
            pending.is_growing = false;
        }
        self.remove_if_done(&mut table, id);
    }

    /// Registers some of them; `false` if the event has ended.
    fn expect_some(&self, id: u64, keys: &[ClientKey]) -> bool {
        let mut table = self.pending();
        let Some(pending) = table.get_mut(&id) else {
            return false;
        };
        for &key in keys {
            if pending.expected.insert(key) {
                // Under the lock of the table, because every removal of the event removes this, too.
                self.by_client.add(key, id);
            }
        }
        true
    }

    fn unexpect(&self, key: ClientKey, id: u64) -> Option<MissingAck> {
        let mut table = self.pending();
        let pending = table.get_mut(&id)?;
        if !pending.expected.remove(&key) {
            return None;
        }
        let missing = pending.report.map(|request| MissingAck {
            requester: match &pending.requester {
                Requester::Local(_) => None,
                Requester::Remote(host, _) => Some(host.clone()),
            },
            request,
        });
        self.release_one(&mut table, id);
        missing
    }

    /// Settles one client of an event, which was removed from `expected`.
    fn release_one(&self, table: &mut BTreeMap<u64, Pending>, id: u64) {
        if let Some(pending) = table.get_mut(&id).filter(|pending| pending.num_remote > 0) {
            pending.num_remote -= 1;
            self.release_remote(1);
        }
        self.remove_if_done(table, id);
    }

    fn remove_if_done(&self, table: &mut BTreeMap<u64, Pending>, id: u64) {
        if table.get(&id).is_some_and(Pending::is_done)
            && let Some(done) = table.remove(&id)
        {
            self.release_remote(done.num_remote);
        }
    }

    fn release_remote(&self, count: usize) {
        self.num_remote.fetch_sub(count, Ordering::Relaxed);
    }

    fn enqueue(&self, sender: &mpsc::Sender<UnreadAck>, client: Option<Sid>, payload: Payload) {
        static DROPPED: LimitedLog = LimitedLog::new();
        let permit = self.waiting_budget.try_take(payload.size());
        let is_dropped = permit.is_none_or(|permit| {
            let ack = ClientAck { client, payload };
            let sent = sender.try_send(UnreadAck { ack, _permit: permit });
            matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
        });
        if is_dropped {
            self.num_dropped.fetch_add(1, Ordering::Relaxed);
            if let Some(suppressed) = DROPPED.pass() {
                quietly(|| tracing::warn!(suppressed, "dropped an acknowledgement: too many are unread"));
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<u64, Pending>> {
        self.pending.lock().unpoisoned()
    }
}

impl Pending {
    fn is_done(&self) -> bool {
        self.expected.is_empty() && !self.is_open && !self.is_growing
    }
}
