//! The questions of this process that still wait for answers.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::by_client::ByClient;
use super::{AckLimits, AckStream, ClientAck, Waiting};
use crate::ack::ClientKey;
use crate::byte_budget::ByteBudget;
use crate::deadline;
use crate::log::{LimitedLog, quietly};
use crate::message::{Callback, CallbackAddress};
use crate::turn::Turn;
use crate::{HostId, Payload, Sid};

/// Answers that a question may have waiting for a slow reader, whatever room there is; more are dropped, counted and logged.
const MAX_WAITING_ACKS: usize = 65_536;

/// Clients that are added to a question, and questions that are looked through, under one lock: some tens of microseconds.
const UNDER_ONE_LOCK: usize = 256;

/// Questions of one client, and clients of one question, that are forgotten without letting other tasks run: some tenths of a millisecond.
pub const FORGOTTEN_AT_ONCE: usize = 1_024;

/// The questions of this process, and those that it asks its clients for others.
#[derive(Debug)]
pub struct AckTable {
    /// Answers that may be expected for other processes.
    max_for_others: usize,
    /// How many of them are.
    num_for_others: AtomicUsize,
    next_id: AtomicU64,
    /// A tree, which grows and shrinks without being copied: how many there are is up to others.
    pending: Mutex<BTreeMap<u64, Pending>>,
    /// So that a client that leaves costs its own questions and not a look at all of them.
    by_client: Arc<ByClient>,
    /// What answers for this process may hold together before they are taken.
    waiting_budget: ByteBudget,
    num_dropped: AtomicU64,
}

#[derive(Debug)]
struct Pending {
    requester: Requester,
    /// The clients of this host that may still answer, each once.
    expected: HashSet<ClientKey>,
    /// More of them are being added.
    is_growing: bool,
    /// Answers that count for [`max_for_others`](AckTable::max_for_others).
    num_for_others: usize,
    /// Clients of other hosts may answer too.
    is_open: bool,
    deadline: Instant,
    /// The question of whoever asked in which those are named who leave without an answer.
    report: Option<u64>,
}

/// Who is to be told that a client left before it answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// The process that asked; `None` if it is this one.
    pub asked_by: Option<HostId>,
    /// Its question.
    pub question: u64,
}

/// Where an answer goes.
#[derive(Debug)]
enum Requester {
    Local(mpsc::Sender<Waiting>),
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
            max_for_others: limits.max_expected_acks,
            num_for_others: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
            pending: Mutex::default(),
            by_client: Arc::default(),
            waiting_budget: ByteBudget::new(limits.max_waiting_ack_bytes),
            num_dropped: AtomicU64::new(0),
        }
    }

    /// Asks on behalf of this process. `is_open`: other hosts are asked too. Lets other tasks run where many are asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the question.
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
            num_for_others: 0,
            is_open,
            deadline,
            report,
        });
        // It forgets the question when it is dropped.
        let answers = AckStream::new(incoming, deadline, self.clone(), id);
        self.expect_all(id, &expected).await;
        (id, answers)
    }

    /// Asks this host's clients on behalf of another process; `None` if too many answers are expected for others already. Lets other tasks
    /// run where many are asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves a question that ends with its time.
    pub async fn expect_for(
        &self,
        host: HostId,
        address: CallbackAddress,
        expected: Vec<ClientKey>,
        timeout: Duration,
        report: Option<u64>,
    ) -> Option<u64> {
        let fits = |num: usize| {
            num.checked_add(expected.len())
                .filter(|&num| num <= self.max_for_others)
        };
        let (order, counter) = (Ordering::Relaxed, &self.num_for_others);
        counter.fetch_update(order, order, fits).ok()?;
        let id = self.insert(Pending {
            requester: Requester::Remote(host, address),
            expected: HashSet::with_capacity(expected.len()),
            is_growing: true,
            num_for_others: expected.len(),
            is_open: false,
            deadline: deadline::after(timeout),
            report,
        });
        self.expect_all(id, &expected).await;
        Some(id)
    }

    /// Takes the answer of a client of this host. Returns what has to be published, if the question came from elsewhere.
    ///
    /// An answer to nothing, a second answer, and the answer of somebody who was not asked are ignored.
    pub fn acknowledge(&self, key: ClientKey, sid: &Sid, id: u64, payload: Payload) -> Option<(HostId, Callback)> {
        let mut table = self.pending();
        let pending = table.get_mut(&id)?;
        if !pending.expected.remove(&key) {
            return None;
        }
        let publish = match &pending.requester {
            Requester::Local(sender) => {
                self.hand_over(sender, Some(sid.clone()), payload);
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
        self.expect_one_less(&mut table, id);
        drop(table);
        self.by_client.remove(key, id);
        publish
    }

    /// Takes an answer that came over the broker.
    pub fn acknowledge_remote(&self, callback: Callback) {
        if let Some(Pending {
            requester: Requester::Local(sender),
            is_open: true,
            ..
        }) = self.pending().get(&callback.address.id)
        {
            self.hand_over(sender, callback.client, callback.payload);
        }
    }

    /// Waits no longer for a client that is gone, in [`FORGOTTEN_AT_ONCE`] of its questions. Returns who wants to know; `None` if it has no
    /// more questions.
    pub fn forget_some(&self, key: ClientKey) -> Option<Vec<Unanswered>> {
        let asked = self.by_client.take_some(key, FORGOTTEN_AT_ONCE);
        let unexpect = |id| self.unexpect(key, id);
        (!asked.is_empty()).then(|| asked.into_iter().filter_map(unexpect).collect())
    }

    /// Returns how many questions a client may answer, but not more than [`FORGOTTEN_AT_ONCE`].
    pub fn num_of(&self, key: ClientKey) -> usize {
        self.by_client.num_of(key, FORGOTTEN_AT_ONCE)
    }

    /// Waits no longer for the answer of one client to one question. Returns who wants to know.
    pub fn forget(&self, key: ClientKey, id: u64) -> Option<Unanswered> {
        self.by_client.remove(key, id);
        self.unexpect(key, id)
    }

    /// Forgets a question whose answers are not waited for any more. Of one to many clients a task forgets who was asked.
    pub(super) fn end(&self, id: u64) {
        let Some(ended) = self.pending().remove(&id) else {
            return;
        };
        self.expect_less_for_others(ended.num_for_others);
        let (by_client, expected) = (self.by_client.clone(), ended.expected);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if expected.len() > FORGOTTEN_AT_ONCE => {
                runtime.spawn(async move { by_client.remove_all(&expected, id, &mut Turn::default()).await });
            }
            _ => expected.iter().for_each(|key| by_client.remove(*key, id)),
        }
    }

    /// Forgets the questions of other processes whose time is over, and lets other tasks run now and then. Those of this process end with
    /// their [`AckStream`], which tell why.
    pub async fn sweep(&self) {
        let (now, mut turn, mut next) = (Instant::now(), Turn::default(), Some(0));
        while let Some(first) = next {
            let (over, rest) = self.take_over(first, now);
            next = rest;
            for (id, expected) in over {
                self.by_client.remove_all(&expected, id, &mut turn).await;
            }
            turn.spend(UNDER_ONE_LOCK).await;
        }
    }

    /// Takes out the questions of other processes whose time is over, of the first ones from `first` on. Returns their clients, and which
    /// question to go on with.
    fn take_over(&self, first: u64, now: Instant) -> (Vec<(u64, HashSet<ClientKey>)>, Option<u64>) {
        let mut table = self.pending();
        let looked_at = table.range(first..).take(UNDER_ONE_LOCK);
        let is_over = |pending: &Pending| matches!(pending.requester, Requester::Remote(..)) && pending.deadline <= now;
        let (mut over, mut last) = (Vec::new(), None);
        for (&id, pending) in looked_at {
            last = Some(id);
            over.extend(is_over(pending).then_some(id));
        }
        let mut take = |id| {
            let ended = table.remove(&id)?;
            self.expect_less_for_others(ended.num_for_others);
            Some((id, ended.expected))
        };
        let over = over.into_iter().filter_map(&mut take).collect();
        (over, last.map(|last| last + 1))
    }

    /// Answers dropped because nobody took them in time.
    pub fn num_dropped(&self) -> u64 {
        self.num_dropped.load(Ordering::Relaxed)
    }

    /// Questions that wait.
    pub fn len(&self) -> usize {
        self.pending().len()
    }

    /// Counts the clients that are waited for, once per question.
    pub fn num_expected(&self) -> usize {
        self.by_client.len()
    }

    fn insert(&self, pending: Pending) -> u64 {
        // Python's counter starts at 1, too; 2^53, where JavaScript loses count, is far away.
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        self.pending().insert(id, pending);
        id
    }

    /// Adds the clients that may answer a question, until it ends.
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

    /// Adds some of them; `false` if the question has ended.
    fn expect_some(&self, id: u64, keys: &[ClientKey]) -> bool {
        let mut table = self.pending();
        let Some(pending) = table.get_mut(&id) else {
            return false;
        };
        for &key in keys {
            if pending.expected.insert(key) {
                // Under the lock of the table: what ends the question afterwards removes this, too.
                self.by_client.add(key, id);
            }
        }
        true
    }

    fn unexpect(&self, key: ClientKey, id: u64) -> Option<Unanswered> {
        let mut table = self.pending();
        let pending = table.get_mut(&id)?;
        if !pending.expected.remove(&key) {
            return None;
        }
        let unanswered = pending.report.map(|question| Unanswered {
            asked_by: match &pending.requester {
                Requester::Local(_) => None,
                Requester::Remote(host, _) => Some(host.clone()),
            },
            question,
        });
        self.expect_one_less(&mut table, id);
        unanswered
    }

    fn expect_one_less(&self, table: &mut BTreeMap<u64, Pending>, id: u64) {
        if let Some(pending) = table.get_mut(&id).filter(|pending| pending.num_for_others > 0) {
            pending.num_for_others -= 1;
            self.expect_less_for_others(1);
        }
        self.remove_if_done(table, id);
    }

    fn remove_if_done(&self, table: &mut BTreeMap<u64, Pending>, id: u64) {
        if table.get(&id).is_some_and(Pending::is_done)
            && let Some(done) = table.remove(&id)
        {
            self.expect_less_for_others(done.num_for_others);
        }
    }

    fn expect_less_for_others(&self, count: usize) {
        self.num_for_others.fetch_sub(count, Ordering::Relaxed);
    }

    fn hand_over(&self, sender: &mpsc::Sender<Waiting>, client: Option<Sid>, payload: Payload) {
        static DROPPED: LimitedLog = LimitedLog::new();
        let room = self.waiting_budget.try_take(payload.size());
        let is_dropped = room.is_none_or(|room| {
            let answer = ClientAck { client, payload };
            let sent = sender.try_send(Waiting { answer, _room: room });
            matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
        });
        if is_dropped {
            self.num_dropped.fetch_add(1, Ordering::Relaxed);
            if let Some(suppressed) = DROPPED.pass() {
                quietly(|| tracing::warn!(suppressed, "dropped an acknowledgement: too many wait unread"));
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<u64, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn is_done(&self) -> bool {
        self.expected.is_empty() && !self.is_open && !self.is_growing
    }
}
