//! The heart of a connection, shared by its handles, its task, its requests and the clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use crate::driver::SessionCell;
use crate::engine::Inner;
use crate::sessions::Sid;
use crate::state::{Driver, Heartbeat, Lifecycle, Outbox, Polling, State, TaskState, release};
use crate::timer::millis;
use crate::{CloseReason, Outgoing, SendError, Sent, Socket, Transport};

/// The time that a WebSocket has to take what is left when the server closes it.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Above this many waiting bytes senders learn that they had better slow down.
const LOW_WATER: usize = 256 * 1024;

pub(crate) struct Shared {
    pub(crate) sid: Sid,
    pub(crate) engine: Arc<Inner>,
    pub(crate) session: Mutex<SessionCell>,
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(engine: &Arc<Inner>, transport: Transport) -> Arc<Self> {
        let due = engine.clock.after(engine.config.ping_interval);
        let polling = (transport == Transport::Polling).then(Box::<Polling>::default);
        // A WebSocket's task drives its session from the first turn on.
        let driver = if polling.is_some() {
            Driver::Idle
        } else {
            Driver::WebSocketTask
        };
        Arc::new(Self {
            sid: Sid::random(),
            engine: engine.clone(),
            session: Mutex::new(SessionCell::default()),
            state: Mutex::new(State {
                outbox: Outbox::default(),
                lifecycle: Lifecycle::Open,
                transport,
                heartbeat: Heartbeat {
                    due,
                    waiting: false,
                    extended: false,
                },
                over_since: None,
                scheduled: 0,
                reading_paused: false,
                paused_since: 0,
                driver,
                task: TaskState::default(),
                polling,
            }),
        })
    }

    /// Locks the state; nothing that runs under it calls foreign code.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn socket(self: &Arc<Self>) -> Socket {
        Socket::new(self.clone())
    }

    pub(crate) fn send(self: &Arc<Self>, packet: Outgoing) -> Result<Sent, SendError> {
        let mut state = self.state();
        if !state.is_open() {
            return Err(SendError::Closed);
        }
        let config = &self.engine.config;
        if state.outbox.cost + packet.cost() > config.outbox_hard_limit {
            self.engine
                .logs
                .overflow
                .warn("a client was disconnected: its outbox is over the hard limit");
            self.close_now(state, CloseReason::Overflow);
            return Err(SendError::Overflow);
        }
        if state.outbox.cost > LOW_WATER && self.engine.budget.is_far_over() {
            self.engine.logs.budget.warn(
                "a client was disconnected: all outboxes together are far over their limit, and its own was not small",
            );
            self.engine.counters.shed.add(1);
            self.close_now(state, CloseReason::Overflow);
            return Err(SendError::Overflow);
        }
        self.push(&mut state, packet);
        let congested = state.outbox.cost > LOW_WATER.min(config.outbox_soft_limit / 2);
        let receiver = state.receiver();
        drop(state);
        wake(receiver);
        Ok(if congested { Sent::Congested } else { Sent::Queued })
    }

    /// Queues a packet, whatever the limits say; above the soft one the client's grace begins.
    pub(crate) fn push(&self, state: &mut State, packet: Outgoing) {
        let config = &self.engine.config;
        if packet.charge(&self.engine.budget) {
            self.engine.keep_budget();
        }
        state.outbox.push(packet);
        if state.outbox.cost > config.outbox_soft_limit && state.over_since.is_none() {
            state.over_since = Some(self.engine.clock.now());
            self.schedule(state, self.engine.clock.after(config.slow_client_grace));
        }
    }

    pub(crate) fn send_volatile(self: &Arc<Self>, packet: Outgoing) -> Result<Sent, SendError> {
        let state = self.state();
        if !state.is_open() {
            return Err(SendError::Closed);
        }
        let writable = self.takes(&state, packet.cost()) && !self.engine.budget.is_over();
        drop(state);
        if !writable {
            self.engine.counters.volatile_dropped.add(1);
            return Ok(Sent::Dropped);
        }
        self.send(packet)
    }

    /// Tells whether the transport can take a packet now.
    pub(crate) fn takes(&self, state: &State, cost: usize) -> bool {
        let config = &self.engine.config;
        let (waiting, room) = (state.outbox.cost, LOW_WATER.min(config.outbox_soft_limit));
        if waiting + cost > config.outbox_hard_limit {
            return false; // the client would be disconnected for it
        }
        match &state.polling {
            Some(polling) => polling.get.is_some() && state.outbox.queue.is_empty(),
            // A packet that is larger than that is as welcome as others where nothing waits.
            None => !state.outbox.blocked && (waiting == 0 || waiting + cost <= room),
        }
    }

    /// Closes the connection after what is queued was flushed.
    pub(crate) fn close(self: &Arc<Self>, reason: CloseReason) {
        let mut state = self.state();
        if !state.is_open() {
            return;
        }
        let shutdown = reason == CloseReason::ServerShutdown;
        let patience = match state.transport {
            Transport::WebSocket => FLUSH_TIMEOUT,
            Transport::Polling => self.engine.config.polling_close_timeout,
        };
        let deadline = self.engine.clock.after(patience);
        state.lifecycle = Lifecycle::Closing { reason, deadline };
        let empty = state.outbox.queue.is_empty();
        if let Some(polling) = &mut state.polling {
            // A waiting GET takes the close packet at once; at shutdown nobody waits for the next one.
            if (empty && polling.get.is_some()) || (shutdown && polling.get.is_none()) {
                return self.close_now(state, reason);
            }
            polling.close_armed = empty;
        }
        self.schedule(&mut state, deadline);
        let receiver = state.receiver();
        drop(state);
        wake(receiver);
    }

    /// Ends the connection at once; the first reason stays.
    pub(crate) fn fail(self: &Arc<Self>, reason: CloseReason) {
        self.close_now(self.state(), reason);
    }

    /// Ends the connection under its lock: the only place where a connection becomes closed.
    pub(crate) fn close_now(self: &Arc<Self>, mut state: MutexGuard<'_, State>, reason: CloseReason) {
        if state.closed().is_some() {
            return;
        }
        state.lifecycle = Lifecycle::Closed(reason);
        let undelivered = std::mem::take(&mut state.outbox.queue);
        state.outbox.clear();
        let polled = state.polling.is_some();
        let waiters: Vec<Waker> = state.polling.iter_mut().flat_map(|polling| polling.waiters()).collect();
        // At a shutdown, answers under way are the last, and leave.
        let answers = match &mut state.polling {
            Some(polling) if reason != CloseReason::ServerShutdown => std::mem::take(&mut polling.answers),
            _ => Vec::new(),
        };
        drop(state);
        drop(undelivered);
        release(answers);
        waiters.into_iter().for_each(Waker::wake);
        if self.engine.sessions.remove(&self.sid) {
            if polled {
                self.engine.counters.polling.lower();
            }
            self.engine.release();
            self.engine.counters.closed[reason as usize].add(1);
            tracing::debug!(target: "engine_io", %reason, "a session closed");
        }
        self.wake_driver();
    }

    /// Takes note of a pong.
    pub(crate) fn pong(&self) {
        self.restart_heartbeat(&mut self.state());
    }

    /// Lets the next ping be due after a whole interval.
    pub(crate) fn restart_heartbeat(&self, state: &mut State) {
        let due = self.engine.clock.after(self.engine.config.ping_interval);
        state.heartbeat = Heartbeat {
            due,
            waiting: false,
            extended: false,
        };
        // With an interval shorter than the timeout, the clock would come too late.
        self.schedule(state, due);
    }

    /// Takes note of packets that are no pong: they extend the wait for one, once.
    pub(crate) fn got_packet(&self, state: &mut State) {
        if state.heartbeat.waiting && !state.heartbeat.extended {
            let due = self.engine.clock.after(self.engine.config.ping_timeout);
            state.heartbeat = Heartbeat {
                due,
                waiting: true,
                extended: true,
            };
        }
    }

    /// Takes note of what was written.
    pub(crate) fn written(&self, state: &mut State, cost: usize) {
        if state.closed().is_none() {
            state.outbox.written(cost);
        }
        if state.outbox.cost <= self.engine.config.outbox_soft_limit {
            state.over_since = None;
        }
    }

    /// Pauses and resumes reading; a client whose packets are not read gets new time for its pong.
    pub(crate) fn pause_reading(&self, state: &mut State, pause: bool) {
        if state.reading_paused && !pause && state.heartbeat.waiting {
            state.heartbeat.due = self.engine.clock.after(self.engine.config.ping_timeout);
        }
        if pause && !state.reading_paused {
            state.paused_since = self.engine.clock.now();
        }
        state.reading_paused = pause;
    }

    /// Makes sure that the clock looks at the connection at `due`.
    pub(crate) fn schedule(&self, state: &mut State, due: u64) {
        let tick = self.engine.timer.tick_of(due);
        if state.scheduled == 0 || tick < state.scheduled {
            state.scheduled = self.engine.timer.insert(&self.engine, self.sid, tick);
        }
    }

    /// Ends the connection if a pong is overdue, for a request that the clock's next tick would come too late for.
    pub(crate) fn expire(self: &Arc<Self>) {
        let state = self.state();
        if state.is_open() && state.is_overdue(self.engine.clock.now()) {
            self.close_now(state, CloseReason::PingTimeout);
        }
    }

    /// Does what is due: the clock calls it at the tick the connection was scheduled for.
    pub(crate) fn on_tick(self: &Arc<Self>, tick: u64) {
        let mut state = self.state();
        if state.scheduled != tick {
            return; // superseded by an earlier entry
        }
        state.scheduled = 0;
        let now = self.engine.clock.now();
        match state.lifecycle {
            Lifecycle::Closed(_) => {}
            Lifecycle::Closing { reason, deadline } if now >= deadline => self.close_now(state, reason),
            Lifecycle::Closing { deadline, .. } => self.schedule(&mut state, deadline),
            Lifecycle::Open => self.on_tick_open(state, now),
        }
    }

    fn on_tick_open(self: &Arc<Self>, mut state: MutexGuard<'_, State>, now: u64) {
        if let Some(reason) = self.overstayed(&state, now) {
            return self.close_now(state, reason);
        }
        let mut receiver = None;
        if now >= state.heartbeat.due {
            if state.is_overdue(now) {
                return self.close_now(state, CloseReason::PingTimeout);
            }
            if !state.heartbeat.waiting {
                self.push(&mut state, Outgoing::ping());
                receiver = state.receiver();
            }
            let timeout = millis(self.engine.config.ping_timeout);
            // The tick may be a little late, which is no gain for the client; a stall of the server is. A client that
            // does not poll just then notices neither, and is to have half of its time at least.
            let mut late = self.engine.timer.lateness();
            if state.polling.as_ref().is_some_and(|polling| polling.get.is_none()) {
                late = late.max(timeout / 2);
            }
            let since = state.heartbeat.due.max(now.saturating_sub(late));
            let due = since.saturating_add(timeout);
            state.heartbeat = Heartbeat {
                due,
                waiting: true,
                extended: false,
            };
        }
        let (grace_ends, pause_ends) = self.ends(&state);
        let due = state.heartbeat.due.min(grace_ends).min(pause_ends);
        self.schedule(&mut state, due);
        drop(state);
        wake(receiver);
    }

    /// Returns when the client has to be below the soft limit again, and when it has to be read again.
    fn ends(&self, state: &State) -> (u64, u64) {
        let config = &self.engine.config;
        let end = |since: Option<u64>, time| since.map_or(u64::MAX, |since| since.saturating_add(millis(time)));
        // Above the soft limit reading pauses as well, and the grace alone counts.
        let is_held_up = state.reading_paused && state.over_since.is_none();
        let paused_since = is_held_up.then_some(state.paused_since);
        (
            end(state.over_since, config.slow_client_grace),
            end(paused_since, config.max_reading_pause),
        )
    }

    /// Tells why a client is to be disconnected that was in a bad state for too long.
    fn overstayed(&self, state: &State, now: u64) -> Option<CloseReason> {
        let (grace_ends, pause_ends) = self.ends(state);
        let logs = &self.engine.logs;
        if now >= grace_ends {
            logs.overflow
                .warn("a client was disconnected: it stayed over the soft limit");
            return Some(CloseReason::Overflow);
        }
        if now >= pause_ends {
            logs.pause
                .warn("a client was disconnected: its session took no messages for too long");
            return Some(CloseReason::ForcedClose);
        }
        None
    }
}

pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
