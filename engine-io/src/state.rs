//! What a connection's lock protects.

use std::collections::VecDeque;
use std::sync::Weak;
use std::task::Waker;

use crate::unsent::UnsentBody;
use crate::{CloseReason, Outgoing, Transport};

/// An outbox of more slots gives its memory back when it is empty.
const SLOTS_KEPT: usize = 16;

/// Everything about a connection that more than one task changes.
pub(crate) struct State {
    pub(crate) outbox: Outbox,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) transport: Transport,
    pub(crate) heartbeat: Heartbeat,
    /// When the outbox last rose above the soft limit, if it is above.
    pub(crate) over_since: Option<u64>,
    /// The tick of the connection's valid entry in the timer wheel.
    pub(crate) scheduled: u64,
    /// Reading from the client pauses, so it cannot be blamed for a missing pong.
    pub(crate) reading_paused: bool,
    /// Since when it does, if it does.
    pub(crate) paused_since: u64,
    pub(crate) driver: Driver,
    /// The task that owns the WebSocket.
    pub(crate) task: TaskState,
    /// Present until the connection is upgraded; absent if it began as a WebSocket.
    pub(crate) polling: Option<Box<Polling>>,
}

/// How alive a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    Open,
    /// What is queued is flushed, until the deadline at most.
    Closing {
        reason: CloseReason,
        deadline: u64,
    },
    Closed(CloseReason),
}

/// The packets waiting for the transport.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) queue: VecDeque<Outgoing>,
    /// The cost of all that was queued and is not yet written, including what the task took over.
    pub(crate) cost: usize,
    /// The last write did not take everything.
    pub(crate) blocked: bool,
}

/// When the next ping, or the end, is due.
pub(crate) struct Heartbeat {
    pub(crate) due: u64,
    /// A ping is not answered yet.
    pub(crate) waiting: bool,
    /// Other packets than a pong extended the wait, as they may once.
    pub(crate) extended: bool,
}

/// Who polls the session's work.
pub(crate) enum Driver {
    Idle,
    /// A temporary task, or a request; `session_woken` means that there may be new work since it looked.
    Runner {
        session_woken: bool,
        waker: Option<Waker>,
    },
    /// The task that owns the WebSocket.
    WebSocketTask,
}

/// What others need to know of the task that owns the WebSocket.
#[derive(Default)]
pub(crate) struct TaskState {
    waker: Option<Waker>,
    running: bool,
    session_woken: bool,
}

impl TaskState {
    /// The task looks at the state by itself before it sleeps; nobody needs to wake it until then.
    pub(crate) fn run(&mut self) {
        self.running = true;
    }

    /// The task is about to sleep.
    pub(crate) fn park(&mut self, waker: &Waker) {
        self.running = false;
        self.waker = Some(waker.clone());
    }

    /// Makes sure that the task drives its session again; returns whom to wake.
    pub(crate) fn wake_session(&mut self) -> Option<Waker> {
        self.session_woken = true;
        self.take_parked()
    }

    /// Tells whether the task was session_woken since it last asked.
    pub(crate) fn take_session_woken(&mut self) -> bool {
        std::mem::take(&mut self.session_woken)
    }

    /// Returns whom to wake, the first time something happens after the task went to sleep.
    pub(crate) fn take_parked(&mut self) -> Option<Waker> {
        if self.running { None } else { self.waker.take() }
    }
}

/// What only long-polling needs.
#[derive(Default)]
pub(crate) struct Polling {
    /// The GET that waits for packets.
    pub(crate) get: Option<Get>,
    /// A POST is being read or worked on.
    pub(crate) post: bool,
    pub(crate) post_waker: Option<Waker>,
    /// The next GET is the last: it gets the close packet.
    pub(crate) close_armed: bool,
    pub(crate) upgrade: Upgrade,
    pub(crate) probe_waker: Option<Waker>,
    /// Long answers that their hosts may not have asked for wholly.
    pub(crate) answers: Vec<Weak<UnsentBody>>,
}

/// A GET that waits.
pub(crate) struct Get {
    pub(crate) waker: Option<Waker>,
    pub(crate) noop: bool,
    pub(crate) phase: PollPhase,
}

/// When a GET came: one that came after the probe of a WebSocket is held for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollPhase {
    BeforeProbe,
    AfterProbe,
}

/// How far a WebSocket came with replacing long-polling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Upgrade {
    #[default]
    None,
    /// A WebSocket is open, and has shown nothing yet.
    Opened,
    /// Its probe was answered.
    Probed,
}

impl Outbox {
    pub(crate) fn push(&mut self, packet: Outgoing) {
        self.cost += packet.cost();
        self.queue.push_back(packet);
    }

    /// Moves what is queued to `taken`; the cost stays until it is [written](Self::written).
    pub(crate) fn take_into(&mut self, taken: &mut VecDeque<Outgoing>) {
        if taken.is_empty() {
            std::mem::swap(&mut self.queue, taken);
        } else {
            taken.append(&mut self.queue);
        }
        trim(&mut self.queue);
    }

    pub(crate) fn written(&mut self, cost: usize) {
        self.cost -= cost;
    }

    pub(crate) fn clear(&mut self) {
        self.queue = VecDeque::new();
        self.cost = 0;
    }
}

/// Takes back what answers still hold. No lock of a session may be held, for the last of an answer counts for its session.
pub(crate) fn release(answers: Vec<Weak<UnsentBody>>) {
    answers.iter().filter_map(Weak::upgrade).for_each(|held| held.release());
}

/// Gives back the memory that a burst needed.
pub(crate) fn trim(queue: &mut VecDeque<Outgoing>) {
    if queue.is_empty() && queue.capacity() > SLOTS_KEPT {
        *queue = VecDeque::new();
    }
}

impl Polling {
    /// Returns everybody who waits for something to happen to the session.
    pub(crate) fn waiters(&mut self) -> impl Iterator<Item = Waker> {
        let get = self.get.as_mut().and_then(|get| get.waker.take());
        [get, self.post_waker.take(), self.probe_waker.take()]
            .into_iter()
            .flatten()
    }
}

impl State {
    pub(crate) fn is_open(&self) -> bool {
        self.lifecycle == Lifecycle::Open
    }

    /// Returns the reason, once the connection is gone.
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        match self.lifecycle {
            Lifecycle::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    /// Tells whether the client had its time to answer a ping.
    pub(crate) fn is_overdue(&self, now: u64) -> bool {
        self.heartbeat.waiting && !self.reading_paused && !self.owes_answer() && now >= self.heartbeat.due
    }

    /// Tells whether a GET was woken for packets and did not come to take them yet: the server is late, not the client.
    fn owes_answer(&self) -> bool {
        let waits = self.polling.as_ref().is_some_and(|polling| polling.get.is_some());
        waits && !self.outbox.queue.is_empty()
    }

    /// Returns whom to wake when something was queued.
    pub(crate) fn receiver(&mut self) -> Option<Waker> {
        match self.transport {
            Transport::WebSocket => self.task.take_parked(),
            Transport::Polling => self.polling.as_mut()?.get.as_mut()?.waker.take(),
        }
    }
}
