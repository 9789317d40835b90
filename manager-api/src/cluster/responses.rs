//! The open requests of this process, and the stream of responses to each.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use super::peers::Peers;
use super::request::{ClusterResponse, ResponsePart};
use crate::byte_budget::{ByteBudget, BytePermit};
use crate::lock::Unpoisoned;
use crate::log::{LimitedLog, quietly};
use crate::{Error, ErrorKind, HostId};

/// Unread response parts of one request, regardless of the byte budget; more are dropped, and their server is reported
/// as missing.
const MAX_WAITING_PARTS: usize = 1_024;

/// The servers whose responses a request waits for.
#[derive(Debug, Default)]
pub struct Expected {
    /// Those whose ids are known.
    pub named: Vec<HostId>,
    /// The number of further ones.
    pub unnamed: usize,
}

/// The requests that wait for responses of servers.
#[derive(Debug)]
pub struct RequestTable {
    next_id: AtomicU64,
    open: Mutex<HashMap<u64, mpsc::Sender<ReceivedPart>>>,
    /// Byte budget of unread response parts.
    waiting_budget: ByteBudget,
}

/// A part of a server's response, with its share of the byte budget.
#[derive(Debug)]
pub struct ReceivedPart {
    /// The server that responded.
    pub from: HostId,
    /// The contents.
    pub part: ResponsePart,
    /// Whether a limit cut the response.
    pub is_truncated: bool,
    /// The number of parts; known from the last one only.
    total: Option<u32>,
    /// `None` for this server's own parts.
    _permit: Option<BytePermit>,
}

impl RequestTable {
    /// Creates an empty table with a budget of `max_waiting_bytes` for responses that are not read yet.
    pub fn new(max_waiting_bytes: usize) -> Self {
        Self {
            next_id: AtomicU64::new(0),
            open: Mutex::default(),
            waiting_budget: ByteBudget::new(max_waiting_bytes),
        }
    }

    /// Opens a request that waits for the responses of `expected`; servers that do not respond are removed from `peers`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] if `max` requests are open.
    pub fn open(
        self: &Arc<Self>,
        peers: Arc<Peers>,
        expected: Expected,
        deadline: Instant,
        max: usize,
    ) -> Result<(u64, Responses), Error> {
        let mut open = self.lock();
        if open.len() >= max {
            let text = format!("{max} requests to the other servers are open already, which is the limit");
            return Err(Error::new(ErrorKind::Busy, text));
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, incoming) = mpsc::channel(MAX_WAITING_PARTS);
        open.insert(id, sender);
        let responses = Responses {
            incoming,
            own: VecDeque::new(),
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            expected: expected
                .named
                .into_iter()
                .map(|host| (host, Progress::default()))
                .collect(),
            unnamed: expected.unnamed,
            finished: HashSet::new(),
            has_own: false,
            has_ignored: false,
            missing: Vec::new(),
            peers,
            _guard: OpenRequest {
                requests: self.clone(),
                id,
            },
        };
        Ok((id, responses))
    }

    /// Handles a part of a response; parts of unknown requests are ignored.
    pub fn receive(&self, from: HostId, response: ClusterResponse) {
        static DROPPED: LimitedLog = LimitedLog::new();
        let Some(sender) = self.lock().get(&response.id).cloned() else {
            return;
        };
        let permit = self.waiting_budget.try_take(response.part.size());
        let is_dropped = permit.is_none_or(|permit| {
            let sent = sender.try_send(ReceivedPart {
                from,
                part: response.part,
                is_truncated: response.is_truncated,
                total: response.is_last.then(|| response.number.saturating_add(1)),
                _permit: Some(permit),
            });
            matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
        });
        if !is_dropped {
            return;
        }
        if let Some(suppressed) = DROPPED.pass() {
            quietly(|| tracing::warn!(suppressed, "dropped a response of a server: too many bytes are unread"));
        }
    }

    /// Counts the open requests.
    pub fn num_open(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, mpsc::Sender<ReceivedPart>>> {
        self.open.lock().unpoisoned()
    }
}

/// Guard that removes a request from the table when its responses are dropped.
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

/// Returns the next part that counts; never without one. Those of a server whose response is complete, and of servers
/// beyond `max_servers`, do not: anybody on the channel can invent them.
async fn next_accepted(
    incoming: &mut mpsc::Receiver<ReceivedPart>,
    expected: &HashMap<HostId, Progress>,
    finished: &HashSet<HostId>,
    max_servers: usize,
    has_ignored: &mut bool,
) -> ReceivedPart {
    while let Some(received) = incoming.recv().await {
        let from = &received.from;
        let is_new = !finished.contains(from);
        let is_known = expected.contains_key(from) || expected.len() + finished.len() < max_servers;
        if matches!(received.part, ResponsePart::Left(_)) || (is_new && is_known) {
            return received;
        }
        *has_ignored |= is_new;
    }
    std::future::pending().await
}

/// The number of parts received of a server's response, and the total once it is known.
#[derive(Debug, Default)]
struct Progress {
    received: u32,
    total: Option<u32>,
}

/// The responses of servers to a request, until all are complete or the deadline passes. Dropping it closes the
/// request.
#[derive(Debug)]
pub struct Responses {
    incoming: mpsc::Receiver<ReceivedPart>,
    /// The parts of this server's own response.
    own: VecDeque<ReceivedPart>,
    deadline: Pin<Box<Sleep>>,
    /// Servers whose responses are not complete.
    expected: HashMap<HostId, Progress>,
    /// The number of further servers, whose ids become known with their responses.
    unnamed: usize,
    /// Servers whose responses are complete.
    finished: HashSet<HostId>,
    /// Whether this server has responded, too.
    has_own: bool,
    /// Whether responses of servers beyond the limit were ignored.
    has_ignored: bool,
    missing: Vec<HostId>,
    peers: Arc<Peers>,
    _guard: OpenRequest,
}

impl Responses {
    /// Adds a part of this server's own response.
    pub fn add_own(&mut self, from: HostId, part: ResponsePart, is_truncated: bool) {
        self.has_own = true;
        self.own.push_back(ReceivedPart {
            from,
            part,
            is_truncated,
            total: None,
            _permit: None,
        });
    }

    /// Marks every expected server as missing, because the request could not be sent.
    pub fn not_sent(&mut self) {
        self.missing.extend(self.expected.drain().map(|(host, _)| host));
        self.miss_unnamed();
    }

    /// Records the servers without an id that did not respond as missing.
    fn miss_unnamed(&mut self) {
        let unnamed = 1..=std::mem::take(&mut self.unnamed);
        self.missing
            .extend(unnamed.map(|n| HostId::from(&*format!("unnamed-{n}"))));
    }

    /// Returns whether all expected responses are complete and read.
    pub fn is_complete(&self) -> bool {
        self.own.is_empty() && self.expected.is_empty() && self.unnamed == 0
    }

    /// Returns the next part; `None` when all responses are complete or the deadline has passed.
    pub async fn next(&mut self) -> Option<ReceivedPart> {
        if self.is_complete() {
            return None;
        }
        self.next_until_deadline().await
    }

    /// Returns the next part, including parts that follow a complete response; `None` when the deadline has passed.
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
            received = next_accepted(&mut self.incoming, &self.expected, &self.finished, self.peers.max(), &mut self.has_ignored) => {
                self.record(&received);
                Some(received)
            }
            () = &mut self.deadline => {
                for (host, _) in self.expected.drain() {
                    self.peers.forget(&host);
                    self.missing.push(host);
                }
                self.miss_unnamed();
                None
            }
        }
    }

    /// Returns whether more servers responded than the limit allows, so that some are left out.
    pub fn has_ignored_servers(&self) -> bool {
        self.has_ignored
    }

    /// Counts the servers whose responses are complete, including this one if it has responded.
    pub fn num_complete(&self) -> usize {
        self.finished.len() + usize::from(self.has_own)
    }

    /// Returns the servers whose responses were missing or incomplete at the deadline, sorted by their ids.
    pub fn into_missing(mut self) -> Vec<HostId> {
        self.missing.sort();
        std::mem::take(&mut self.missing)
    }

    fn record(&mut self, received: &ReceivedPart) {
        if matches!(received.part, ResponsePart::Left(_)) || self.finished.contains(&received.from) {
            return;
        }
        // A server that was unknown when the request was sent is expected from its first part on.
        self.missing.retain(|host| *host != received.from);
        let progress = self.expected.entry(received.from.clone()).or_insert_with(|| {
            self.unnamed = self.unnamed.saturating_sub(1);
            Progress::default()
        });
        progress.received += 1;
        progress.total = progress.total.or(received.total);
        if progress.total.is_some_and(|total| progress.received >= total) {
            self.expected.remove(&received.from);
            self.finished.insert(received.from.clone());
        }
    }
}
