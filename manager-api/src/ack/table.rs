//! The questions of this process that still wait for answers.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::by_client::ByClient;
use super::{Answer, Answers, Waiting};
use crate::backend::deadline;
use crate::byte_room::ByteRoom;
use crate::tables::give_back;
use crate::{Callback, CallbackAddress, ClientKey, HostId, HubOptions, LimitedLog, Payload, Sid};

/// Answers that a question may have waiting for a slow reader, whatever room there is; more are dropped, counted and logged.
const MAX_WAITING_ANSWERS: usize = 65_536;

/// The questions of this process, and those that it asks its clients for others.
#[derive(Debug)]
pub(crate) struct AckTable {
    /// Answers that may be expected for other processes.
    max_for_others: usize,
    /// How many of them are.
    num_for_others: AtomicUsize,
    next_id: AtomicU64,
    pending: Mutex<HashMap<u64, Pending>>,
    /// So that a client that leaves costs its own questions and not a look at all of them.
    by_client: ByClient,
    /// What answers for this process may hold together before they are taken.
    waiting_room: ByteRoom,
    num_dropped: AtomicU64,
}

#[derive(Debug)]
struct Pending {
    reply: Reply,
    /// The clients of this host that may still answer, each once.
    expected: HashSet<ClientKey>,
    /// Clients of other hosts may answer too.
    is_open: bool,
    deadline: Instant,
    /// The question of whoever asked in which those are named who leave without an answer.
    report: Option<u64>,
}

/// Who is to be told that a client left before it answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    /// The process that asked; `None` if it is this one.
    pub(crate) asked_by: Option<HostId>,
    /// Its question.
    pub(crate) question: u64,
}

/// Where an answer goes.
#[derive(Debug)]
enum Reply {
    Here(mpsc::Sender<Waiting>),
    There(HostId, CallbackAddress),
}

impl Default for AckTable {
    fn default() -> Self {
        Self::new(&HubOptions::default())
    }
}

impl AckTable {
    pub(crate) fn new(options: &HubOptions) -> Self {
        Self {
            max_for_others: options.max_expected_answers,
            num_for_others: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
            pending: Mutex::default(),
            by_client: ByClient::default(),
            waiting_room: ByteRoom::new(options.max_waiting_answer_bytes),
            num_dropped: AtomicU64::new(0),
        }
    }

    /// Asks on behalf of this process. `is_open`: other hosts are asked too.
    pub(crate) fn ask(
        self: &Arc<Self>,
        expected: HashSet<ClientKey>,
        is_open: bool,
        timeout: Duration,
        report: Option<u64>,
    ) -> (u64, Answers) {
        let (sender, incoming) = mpsc::channel(MAX_WAITING_ANSWERS);
        let deadline = deadline::after(timeout);
        let id = self.insert(Pending {
            reply: Reply::Here(sender),
            expected,
            is_open,
            deadline,
            report,
        });
        (id, Answers::new(incoming, deadline, self.clone(), id))
    }

    /// Asks this host's clients on behalf of another process; `None` if too many answers are expected for others already.
    pub(crate) fn ask_for(
        &self,
        host: HostId,
        address: CallbackAddress,
        expected: HashSet<ClientKey>,
        timeout: Duration,
        report: Option<u64>,
    ) -> Option<u64> {
        let fits = |num: usize| {
            num.checked_add(expected.len())
                .filter(|&num| num <= self.max_for_others)
        };
        let (order, counter) = (Ordering::Relaxed, &self.num_for_others);
        counter.fetch_update(order, order, fits).ok()?;
        Some(self.insert(Pending {
            reply: Reply::There(host, address),
            expected,
            is_open: false,
            deadline: deadline::after(timeout),
            report,
        }))
    }

    /// Takes the answer of a client of this host. Returns what has to be published, if the question came from elsewhere.
    ///
    /// An answer to nothing, a second answer, and the answer of somebody who was not asked are ignored.
    pub(crate) fn answer(&self, key: ClientKey, sid: &Sid, id: u64, payload: Payload) -> Option<(HostId, Callback)> {
        let mut table = self.pending();
        let pending = table.get_mut(&id)?;
        if !pending.expected.remove(&key) {
            return None;
        }
        let publish = match &pending.reply {
            Reply::Here(sender) => {
                self.hand_over(sender, Some(sid.clone()), payload);
                None
            }
            Reply::There(host, address) => {
                let callback = Callback {
                    address: address.clone(),
                    payload,
                    client: Some(sid.clone()),
                };
                self.expect_less_for_others(1);
                Some((host.clone(), callback))
            }
        };
        if pending.is_done() {
            table.remove(&id);
        }
        drop(table);
        self.by_client.remove(key, id);
        publish
    }

    /// Takes an answer that came over the broker.
    pub(crate) fn answer_from_afar(&self, callback: Callback) {
        if let Some(Pending {
            reply: Reply::Here(sender),
            is_open: true,
            ..
        }) = self.pending().get(&callback.address.id)
        {
            self.hand_over(sender, callback.client, callback.payload);
        }
    }

    /// Waits no longer for a client that is gone. Returns who wants to know.
    pub(crate) fn forget_client(&self, key: ClientKey) -> Vec<Unanswered> {
        let asked = self.by_client.take(key);
        asked.into_iter().filter_map(|id| self.unexpect(key, id)).collect()
    }

    /// Waits no longer for the answer of one client to one question. Returns who wants to know.
    pub(crate) fn forget(&self, key: ClientKey, id: u64) -> Option<Unanswered> {
        self.by_client.remove(key, id);
        self.unexpect(key, id)
    }

    /// Forgets a question whose answers nobody waits for any more.
    pub(super) fn end(&self, id: u64) {
        let mut table = self.pending();
        let ended = table.remove(&id);
        give_back(&mut table);
        drop(table);
        if let Some(pending) = ended {
            self.by_client.remove_all(&pending.expected, id);
        }
    }

    /// Forgets the questions of other processes whose time is over. Those of this process end with their [`Answers`], which tell why.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        let mut over = Vec::new();
        let mut table = self.pending();
        table.retain(|&id, pending| {
            let is_over = matches!(pending.reply, Reply::There(..)) && pending.deadline <= now;
            if is_over {
                over.push((id, std::mem::take(&mut pending.expected)));
            }
            !is_over
        });
        give_back(&mut table);
        drop(table);
        for (id, expected) in over {
            self.expect_less_for_others(expected.len());
            self.by_client.remove_all(&expected, id);
        }
    }

    /// Answers dropped because nobody took them in time.
    pub(crate) fn num_dropped(&self) -> u64 {
        self.num_dropped.load(Ordering::Relaxed)
    }

    /// Questions that wait.
    pub(crate) fn len(&self) -> usize {
        self.pending().len()
    }

    /// Counts the clients that are waited for, once per question.
    #[cfg(test)]
    pub(crate) fn num_expected(&self) -> usize {
        self.by_client.len()
    }

    fn insert(&self, pending: Pending) -> u64 {
        // Python's counter starts at 1, too; 2^53, where JavaScript loses count, is far away.
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        // First: whatever ends the question from now on removes this, too.
        self.by_client.add_all(&pending.expected, id);
        self.pending().insert(id, pending);
        id
    }

    fn unexpect(&self, key: ClientKey, id: u64) -> Option<Unanswered> {
        let mut table = self.pending();
        let pending = table.get_mut(&id)?;
        if !pending.expected.remove(&key) {
            return None;
        }
        if let Reply::There(..) = pending.reply {
            self.expect_less_for_others(1);
        }
        let unanswered = pending.report.map(|question| Unanswered {
            asked_by: match &pending.reply {
                Reply::Here(_) => None,
                Reply::There(host, _) => Some(host.clone()),
            },
            question,
        });
        if pending.is_done() {
            table.remove(&id);
        }
        unanswered
    }

    fn expect_less_for_others(&self, count: usize) {
        self.num_for_others.fetch_sub(count, Ordering::Relaxed);
    }

    fn hand_over(&self, sender: &mpsc::Sender<Waiting>, client: Option<Sid>, payload: Payload) {
        static DROPPED: LimitedLog = LimitedLog::new();
        let room = self.waiting_room.try_take(payload.size());
        let is_dropped = room.is_none_or(|room| {
            let answer = Answer { client, payload };
            let sent = sender.try_send(Waiting { answer, _room: room });
            matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
        });
        if is_dropped {
            self.num_dropped.fetch_add(1, Ordering::Relaxed);
            if let Some(suppressed) = DROPPED.pass() {
                tracing::warn!(suppressed, "dropped an acknowledgement: too many wait unread");
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<u64, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn is_done(&self) -> bool {
        self.expected.is_empty() && !self.is_open
    }
}
