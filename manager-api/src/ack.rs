//! Acknowledgements: who asked, who may answer, and until when.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use crate::tables::give_back;
use crate::{Callback, CallbackAddress, ClientKey, Error, ErrorKind, HostId, LimitedLog, Payload, Sid};

/// One client's answer to an event.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Who answered; unknown when a python-socketio server passed it on.
    pub client: Option<Sid>,
    /// What it answered.
    pub payload: Payload,
}

/// The answers to an event, as they come in.
///
/// A stream that ends when the wanted number has come, when everybody who could answer has, or when the deadline passes; the latter is
/// told by [`timed_out`](Self::timed_out). Dropping it forgets the question.
#[derive(Debug)]
pub struct Answers {
    incoming: mpsc::Receiver<Answer>,
    deadline: Pin<Box<Sleep>>,
    left: usize,
    timed_out: bool,
    /// An error to yield first: the question could not be asked everywhere.
    failed: Option<Error>,
    _question: Question,
}

impl Answers {
    /// Ends the stream after `count` answers.
    #[must_use]
    pub fn count(mut self, count: usize) -> Self {
        self.left = count;
        self
    }

    /// Tells whether the stream ended because the deadline passed.
    pub fn timed_out(&self) -> bool {
        self.timed_out
    }

    /// Waits for the next answer; `None` when there will be no more.
    ///
    /// # Errors
    ///
    /// Once, and first, if the event could not be published: clients of other servers were not asked then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Answer, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Waits for one answer and reads it into a type, as [`Payload::parse`] does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if nobody answered, [`ErrorKind::Malformed`] if the answer does not fit `T`, and any error of publishing.
    pub async fn one<T: DeserializeOwned>(mut self) -> Result<T, Error> {
        match self.next().await {
            Some(answer) => answer?.payload.parse(),
            None => Err(Error::new(ErrorKind::Timeout, "nobody answered the event in time")),
        }
    }

    /// Collects all answers until the stream ends.
    ///
    /// # Errors
    ///
    /// If the event could not be published.
    pub async fn all(mut self) -> Result<Vec<Answer>, Error> {
        let mut answers = Vec::new();
        while let Some(answer) = self.next().await {
            answers.push(answer?);
        }
        Ok(answers)
    }

    /// Stores the failure to ask, to be yielded before any answer.
    pub(crate) fn fail(&mut self, error: Error) {
        self.failed = Some(error);
    }

    /// Stops waiting: everybody who could answer has, or nobody can.
    pub(crate) fn no_more(&mut self) {
        self.left = 0;
    }
}

impl Stream for Answers {
    type Item = Result<Answer, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if self.left == 0 || self.timed_out {
            return Poll::Ready(None);
        }
        if let Poll::Ready(answer) = self.incoming.poll_recv(cx) {
            self.left = if answer.is_some() { self.left - 1 } else { 0 };
            return Poll::Ready(answer.map(Ok));
        }
        ready!(self.deadline.as_mut().poll(cx));
        self.timed_out = true;
        Poll::Ready(None)
    }
}

/// Removes a question from the table when nobody waits for its answers any more.
#[derive(Debug)]
struct Question {
    table: Arc<AckTable>,
    id: u64,
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut table = self.table.pending();
        table.remove(&self.id);
        give_back(&mut table);
    }
}

/// Answers that a question may have waiting for a slow reader; more are dropped, counted and logged.
const MAX_WAITING_ANSWERS: usize = 65_536;

/// The questions of this process that still wait for answers.
#[derive(Debug, Default)]
pub(crate) struct AckTable {
    next_id: AtomicU64,
    pending: Mutex<HashMap<u64, Pending>>,
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
    Here(mpsc::Sender<Answer>),
    There(HostId, CallbackAddress),
}

impl AckTable {
    /// Asks on behalf of this process. `is_open`: other hosts are asked too.
    pub(crate) fn ask(
        self: &Arc<Self>,
        expected: HashSet<ClientKey>,
        is_open: bool,
        timeout: Duration,
        report: Option<u64>,
    ) -> (u64, Answers) {
        let (sender, incoming) = mpsc::channel(MAX_WAITING_ANSWERS);
        let deadline = Instant::now() + timeout;
        let id = self.insert(Pending {
            reply: Reply::Here(sender),
            expected,
            is_open,
            deadline,
            report,
        });
        let answers = Answers {
            incoming,
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            left: usize::MAX,
            timed_out: false,
            failed: None,
            _question: Question {
                table: self.clone(),
                id,
            },
        };
        (id, answers)
    }

    /// Asks this host's clients on behalf of another process.
    pub(crate) fn ask_for(
        &self,
        host: HostId,
        address: CallbackAddress,
        expected: HashSet<ClientKey>,
        timeout: Duration,
        report: Option<u64>,
    ) -> u64 {
        self.insert(Pending {
            reply: Reply::There(host, address),
            expected,
            is_open: false,
            deadline: Instant::now() + timeout,
            report,
        })
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
                Some((host.clone(), callback))
            }
        };
        if pending.is_done() {
            table.remove(&id);
        }
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
        let mut unanswered = Vec::new();
        self.pending().retain(|_, pending| {
            let was_expected = pending.expected.remove(&key);
            if let (true, Some(question)) = (was_expected, pending.report) {
                let asked_by = match &pending.reply {
                    Reply::Here(_) => None,
                    Reply::There(host, _) => Some(host.clone()),
                };
                unanswered.push(Unanswered { asked_by, question });
            }
            !(was_expected && pending.is_done())
        });
        unanswered
    }

    /// Forgets the questions of other processes whose time is over. Those of this process end with their [`Answers`], which tell why.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        let mut table = self.pending();
        table.retain(|_, pending| match pending.reply {
            Reply::Here(_) => true,
            Reply::There(..) => pending.deadline > now,
        });
        give_back(&mut table);
    }

    /// Answers dropped because nobody took them in time.
    pub(crate) fn num_dropped(&self) -> u64 {
        self.num_dropped.load(Ordering::Relaxed)
    }

    /// Questions that wait.
    pub(crate) fn len(&self) -> usize {
        self.pending().len()
    }

    fn insert(&self, pending: Pending) -> u64 {
        // Python's counter starts at 1, too; 2^53, where JavaScript loses count, is far away.
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        self.pending().insert(id, pending);
        id
    }

    fn hand_over(&self, sender: &mpsc::Sender<Answer>, client: Option<Sid>, payload: Payload) {
        static DROPPED: LimitedLog = LimitedLog::new();
        if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(Answer { client, payload }) {
            self.num_dropped.fetch_add(1, Ordering::Relaxed);
            if let Some(suppressed) = DROPPED.pass() {
                tracing::warn!(
                    suppressed,
                    "dropped an acknowledgement: {MAX_WAITING_ANSWERS} wait unread already"
                );
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
