//! The open questions of this process, and the answers as they come in.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use super::peers::Peers;
use super::request::{ClusterResponse, ResponsePart};
use crate::byte_budget::{ByteBudget, BytePermit};
use crate::log::{LimitedLog, quietly};
use crate::{Error, ErrorKind, HostId};

/// Parts of answers that a question may have waiting, whatever room there is; more are dropped, and their server is missing then.
const MAX_WAITING_PARTS: usize = 1_024;

/// The questions that wait for answers of servers.
#[derive(Debug)]
pub struct RequestTable {
    next_id: AtomicU64,
    open: Mutex<HashMap<u64, mpsc::Sender<ReceivedPart>>>,
    /// What parts of answers may hold together before they are taken.
    waiting_budget: ByteBudget,
}

/// A part of an answer as it is taken.
#[derive(Debug)]
pub struct ReceivedPart {
    pub from: HostId,
    pub part: ResponsePart,
    pub is_truncated: bool,
    /// How many parts there are, in the last one.
    total: Option<u32>,
    /// The room that it takes; this server's own parts take none.
    _room: Option<BytePermit>,
}

impl RequestTable {
    /// Makes an empty table; responses that are not read yet may take `max_waiting_bytes`.
    pub fn new(max_waiting_bytes: usize) -> Self {
        Self {
            next_id: AtomicU64::new(0),
            open: Mutex::default(),
            waiting_budget: ByteBudget::new(max_waiting_bytes),
        }
    }

    /// Opens a question that waits for `peers`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] if `max` questions are open.
    pub fn open(
        self: &Arc<Self>,
        peers: Arc<Peers>,
        expected: Vec<HostId>,
        deadline: Instant,
        max: usize,
    ) -> Result<(u64, Responses), Error> {
        let mut open = self.lock();
        if open.len() >= max {
            let text = format!("{max} questions to the other servers are open already");
            return Err(Error::new(ErrorKind::Busy, text));
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, incoming) = mpsc::channel(MAX_WAITING_PARTS);
        open.insert(id, sender);
        let responses = Responses {
            incoming,
            own: VecDeque::new(),
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            waiting: expected.into_iter().map(|host| (host, Progress::default())).collect(),
            finished: HashSet::new(),
            missing: Vec::new(),
            peers,
            _guard: OpenRequest {
                requests: self.clone(),
                id,
            },
        };
        Ok((id, responses))
    }

    /// Takes a part of an answer; one to no question is nothing.
    pub fn take(&self, from: HostId, reply: ClusterResponse) {
        static DROPPED: LimitedLog = LimitedLog::new();
        let Some(sender) = self.lock().get(&reply.id).cloned() else {
            return;
        };
        let room = self.waiting_budget.try_take(reply.part.size());
        let is_dropped = room.is_none_or(|room| {
            let sent = sender.try_send(ReceivedPart {
                from,
                part: reply.part,
                is_truncated: reply.is_truncated,
                total: reply.is_last.then(|| reply.number.saturating_add(1)),
                _room: Some(room),
            });
            matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
        });
        if !is_dropped {
            return;
        }
        if let Some(suppressed) = DROPPED.pass() {
            quietly(|| tracing::warn!(suppressed, "dropped a server's answer: too much waits unread"));
        }
    }

    /// Counts the open requests.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, mpsc::Sender<ReceivedPart>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a question when nobody waits for its answers any more.
#[derive(Debug)]
struct OpenRequest {
    requests: Arc<RequestTable>,
    id: u64,
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.requests.lock().remove(&self.id);
    }
}

/// How many parts of a server's answer came, and how many there are.
#[derive(Debug, Default)]
struct Progress {
    received: u32,
    total: Option<u32>,
}

/// The answers of servers to a question, until all have answered or the deadline passes. Dropping it forgets the question.
#[derive(Debug)]
pub struct Responses {
    incoming: mpsc::Receiver<ReceivedPart>,
    /// What this server itself says.
    own: VecDeque<ReceivedPart>,
    deadline: Pin<Box<Sleep>>,
    waiting: HashMap<HostId, Progress>,
    /// Servers whose answer is whole.
    finished: HashSet<HostId>,
    missing: Vec<HostId>,
    peers: Arc<Peers>,
    _guard: OpenRequest,
}

impl Responses {
    /// Adds what this server itself says.
    pub fn add_own(&mut self, from: HostId, part: ResponsePart, is_truncated: bool) {
        self.own.push_back(ReceivedPart {
            from,
            part,
            is_truncated,
            total: None,
            _room: None,
        });
    }

    /// Waits for nobody: the question could not be asked.
    pub fn not_sent(&mut self) {
        self.missing.extend(self.waiting.drain().map(|(host, _)| host));
    }

    /// Tells whether everybody who is waited for has answered, and all of that was taken.
    pub fn is_complete(&self) -> bool {
        self.own.is_empty() && self.waiting.is_empty()
    }

    /// Returns the next part; `None` when all answers are whole or the deadline has passed.
    pub async fn next(&mut self) -> Option<ReceivedPart> {
        match self.is_complete() {
            true => None,
            false => self.next_until_deadline().await,
        }
    }

    /// Returns the next part, also of those whose answer is whole; `None` when the deadline has passed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next_until_deadline(&mut self) -> Option<ReceivedPart> {
        if let Some(own) = self.own.pop_front() {
            return Some(own);
        }
        tokio::select! {
            biased;
            Some(heard) = self.incoming.recv() => {
                self.note(&heard);
                Some(heard)
            }
            () = &mut self.deadline => {
                for (host, _) in self.waiting.drain() {
                    self.peers.forget(&host);
                    self.missing.push(host);
                }
                None
            }
        }
    }

    /// Returns the servers that did not answer in time, or not wholly.
    pub fn into_missing(mut self) -> Vec<HostId> {
        self.missing.sort();
        std::mem::take(&mut self.missing)
    }

    fn note(&mut self, heard: &ReceivedPart) {
        if matches!(heard.part, ResponsePart::Left(_)) || self.finished.contains(&heard.from) {
            return;
        }
        // A server that was not known, or not asked as far as this process knows, is waited for once it has begun to answer.
        self.missing.retain(|host| *host != heard.from);
        let progress = self.waiting.entry(heard.from.clone()).or_default();
        progress.received += 1;
        progress.total = progress.total.or(heard.total);
        if progress.total.is_some_and(|total| progress.received >= total) {
            self.waiting.remove(&heard.from);
            self.finished.insert(heard.from.clone());
        }
    }
}
