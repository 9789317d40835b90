//! An engine session: one client's Engine.IO connection, shared by its handles, its task, its
//! requests and the clock.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::close::CloseReason;
use crate::config::Transport;
use crate::connection::cell::SessionCell;
use crate::connection::clock::millis;
use crate::connection::core::Core;
use crate::connection::driver::wake;
use crate::connection::lifecycle::Lifecycle;
use crate::connection::outbox::Overflow;
use crate::connection::polling::release;
use crate::connection::sid::Sid;
use crate::connection::state::{Overstay, State};
use crate::log::quietly;
use crate::outgoing::Outgoing;
use crate::sent::{SendError, Sent};

/// The milliseconds that a WebSocket has to take what is left when the server closes it.
pub(crate) const FLUSH_TIMEOUT: u64 = 2_000;

/// One client's Engine.IO connection, on one transport or the other.
pub(crate) struct EngineSession {
    /// The id, a secret.
    pub(crate) sid: Sid,
    /// The core that all sessions of the engine share.
    pub(crate) core: Arc<Core>,
    /// The session of the protocol above.
    pub(crate) cell: Mutex<SessionCell>,
    /// The state that more than one task changes.
    state: Mutex<State>,
    /// The bytes that are held of incomplete messages of the client.
    pub(crate) held: AtomicUsize,
    /// The protocol above has accepted the client.
    is_accepted: AtomicBool,
}

impl EngineSession {
    /// Creates an open session, which is not on the table yet.
    pub(crate) fn new(core: &Arc<Core>, transport: Transport) -> Arc<Self> {
        Arc::new(Self {
            sid: Sid::random(),
            core: core.clone(),
            cell: Mutex::new(SessionCell::default()),
            state: Mutex::new(State::new(transport, &core.clock, &core.limits)),
            held: AtomicUsize::new(0),
            is_accepted: AtomicBool::new(false),
        })
    }

    /// Returns whether the protocol above has accepted the client.
    pub(crate) fn is_accepted(&self) -> bool {
        self.is_accepted.load(Ordering::Relaxed)
    }

    /// Notes that the protocol above has accepted the client.
    pub(crate) fn mark_accepted(&self) {
        self.is_accepted.store(true, Ordering::Relaxed);
    }

    /// Locks the state; nothing that runs under it calls foreign code.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a packet, unless a limit refuses it: then the client is disconnected.
    pub(crate) fn send(self: &Arc<Self>, packet: Outgoing) -> Result<Sent, SendError> {
        let mut state = self.state();
        if !state.is_open() {
            return Err(SendError::Closed);
        }
        let limits = &self.core.limits.outbox;
        let (cost, uncounted) = (packet.cost(), packet.uncharged());
        if let Err(overflow) = state.outbox.check(cost, uncounted, limits, &self.core.budget) {
            self.note_overflow(overflow);
            self.close_now(state, CloseReason::Overflow);
            return Err(SendError::Overflow);
        }
        self.push(&mut state, packet);
        let congested = state.outbox.is_congested(limits);
        let receiver = state.receiver();
        drop(state);
        wake(receiver);
        Ok(if congested { Sent::Congested } else { Sent::Queued })
    }

    /// Queues a packet that the transport would write soon, and drops any other.
    pub(crate) fn send_volatile(self: &Arc<Self>, packet: Outgoing) -> Result<Sent, SendError> {
        let state = self.state();
        if !state.is_open() {
            return Err(SendError::Closed);
        }
        let is_writable = state.is_writable(packet.cost(), &self.core.limits.outbox) && !self.core.budget.is_over();
        drop(state);
        if !is_writable {
            self.core.counters.volatile_dropped.add(1);
            return Ok(Sent::Dropped);
        }
        self.send(packet)
    }

    /// Queues a packet, over all limits too; above the soft one the client's grace begins.
    pub(crate) fn push(&self, state: &mut State, packet: Outgoing) {
        if packet.charge(&self.core.budget) {
            self.core.keep_budget();
        }
        state.outbox.push(packet);
        if let Some(grace_ends) = state.outbox.begin_grace(&self.core.limits.outbox, &self.core.clock) {
            self.schedule(state, grace_ends);
        }
    }

    /// Closes the session after what is queued was flushed.
    pub(crate) fn close(self: &Arc<Self>, reason: CloseReason) {
        let mut state = self.state();
        if !state.is_open() {
            return;
        }
        let patience = match state.transport {
            Transport::WebSocket => FLUSH_TIMEOUT,
            Transport::Polling => millis(self.core.config.polling_close_timeout),
        };
        let deadline = self.core.clock.after(patience);
        state.lifecycle.begin_closing(reason, deadline);
        let is_empty = state.outbox.queue().is_empty();
        if let Some(polling) = &mut state.polling {
            // A waiting GET takes the close packet at once; at shutdown there is no time to wait
            // for the next one.
            let is_shutdown = reason == CloseReason::ServerShutdown && self.core.admission.is_shut_down();
            let has_get = polling.get.is_some();
            if (is_empty && has_get) || (is_shutdown && !has_get) {
                return self.close_now(state, reason);
            }
            polling.close_armed = is_empty;
        }
        self.schedule(&mut state, deadline);
        let receiver = state.receiver();
        drop(state);
        wake(receiver);
    }

    /// Closes the session at once; the first reason stays.
    pub(crate) fn fail(self: &Arc<Self>, reason: CloseReason) {
        self.close_now(self.state(), reason);
    }

    /// Closes the session under its lock: the only place where a session becomes closed.
    pub(crate) fn close_now(self: &Arc<Self>, mut state: MutexGuard<'_, State>, reason: CloseReason) {
        if !state.lifecycle.close(reason) {
            return;
        }
        let undelivered = state.outbox.clear();
        let is_polling = state.polling.is_some();
        let waiters: Vec<Waker> = state.polling.iter_mut().flat_map(|polling| polling.waiters()).collect();
        // At a shutdown, responses under way are the last, and leave.
        let bodies = match &mut state.polling {
            Some(polling) if reason != CloseReason::ServerShutdown => std::mem::take(&mut polling.bodies),
            _ => Vec::new(),
        };
        drop(state);
        drop(undelivered);
        release(bodies);
        waiters.into_iter().for_each(Waker::wake);
        let core = &self.core;
        if core.sessions.remove(&self.sid) {
            if is_polling {
                core.counters.polling.lower();
            }
            core.admission.release();
            core.counters.closed[reason as usize].add(1);
            quietly(|| tracing::debug!(target: "engine_io", %reason, "a session closed"));
        }
        self.wake_driver();
    }

    /// Notes a pong.
    pub(crate) fn pong(&self) {
        self.restart_heartbeat(&mut self.state());
    }

    /// Schedules the next ping after a whole interval.
    pub(crate) fn restart_heartbeat(&self, state: &mut State) {
        let due = state.heartbeat.restart(&self.core.clock, &self.core.limits.heartbeat);
        // With an interval shorter than the timeout, the clock would come too late.
        self.schedule(state, due);
    }

    /// Notes packets other than pongs.
    pub(crate) fn got_packet(&self, state: &mut State) {
        state
            .heartbeat
            .got_packet(&self.core.clock, &self.core.limits.heartbeat);
    }

    /// Notes that packets of this cost were written.
    pub(crate) fn written(&self, state: &mut State, cost: usize) {
        state.written(cost, &self.core.limits.outbox);
    }

    /// Pauses and resumes reading from the client.
    pub(crate) fn pause_reading(&self, state: &mut State, pause: bool) {
        state.pause_reading(pause, &self.core.clock, &self.core.limits);
    }

    /// Makes sure that the clock looks at the session at `due`.
    pub(crate) fn schedule(&self, state: &mut State, due: u64) {
        let tick = self.core.timer.tick_of(due);
        if state.scheduled == 0 || tick < state.scheduled {
            state.scheduled = self.core.schedule(self.sid, tick);
        }
    }

    /// Closes the session if a pong is overdue, for a request that the clock's next tick would come
    /// too late for.
    pub(crate) fn expire(self: &Arc<Self>) {
        let state = self.state();
        if state.is_open() && state.is_overdue(self.core.clock.now()) {
            self.close_now(state, CloseReason::PingTimeout);
        }
    }

    /// Does what is due: the clock calls it at the tick that the session was scheduled for.
    pub(crate) fn on_tick(self: &Arc<Self>, tick: u64) {
        let mut state = self.state();
        if state.scheduled != tick {
            return; // superseded by an earlier entry
        }
        state.scheduled = 0;
        let now = self.core.clock.now();
        match state.lifecycle {
            Lifecycle::Closed(_) => {}
            Lifecycle::Closing { reason, deadline } if now >= deadline => self.close_now(state, reason),
            Lifecycle::Closing { deadline, .. } => self.schedule(&mut state, deadline),
            Lifecycle::Open => self.on_tick_open(state, now),
        }
    }

    /// Does what is due for an open session: closes it, or pings its client, and schedules the next
    /// look.
    fn on_tick_open(self: &Arc<Self>, mut state: MutexGuard<'_, State>, now: u64) {
        let limits = &self.core.limits;
        if let Some(overstay) = state.overstay(now, limits) {
            return self.close_now(state, self.note_overstay(overstay));
        }
        let mut receiver = None;
        if now >= state.heartbeat.due() {
            if state.is_overdue(now) {
                return self.close_now(state, CloseReason::PingTimeout);
            }
            if !state.heartbeat.awaits_pong() {
                self.push(&mut state, Outgoing::ping());
                receiver = state.receiver();
            }
            let lateness = self.lateness(&state);
            state.heartbeat.await_pong(now, lateness, &limits.heartbeat);
        }
        let due = state.due(limits);
        self.schedule(&mut state, due);
        drop(state);
        wake(receiver);
    }

    /// Returns how late a ping may be before it is the server's fault. A client that does not poll
    /// just then notices neither a late tick nor a stall of the server, and is to have half of its
    /// time at least.
    fn lateness(&self, state: &State) -> u64 {
        let lateness = self.core.timer.lateness();
        match &state.polling {
            Some(polling) if polling.get.is_none() => lateness.max(self.core.limits.heartbeat.timeout / 2),
            _ => lateness,
        }
    }

    /// Logs and counts why a packet is refused.
    fn note_overflow(&self, overflow: Overflow) {
        let core = &self.core;
        match overflow {
            Overflow::Hard => core
                .logs
                .overflow
                .warn("a client was disconnected: its outbox is over the hard limit"),
            Overflow::Total => {
                core.counters.shed.add(1);
                core.logs.budget.warn(
                    "a client was disconnected: all outboxes together are far over their limit, and its own was not small",
                );
            }
        }
    }

    /// Logs why a client is disconnected; returns the reason.
    fn note_overstay(&self, overstay: Overstay) -> CloseReason {
        let logs = &self.core.logs;
        match overstay {
            Overstay::OverSoftLimit => {
                logs.overflow
                    .warn("a client was disconnected: it stayed over the soft limit");
                CloseReason::Overflow
            }
            Overstay::NotRead => {
                logs.pause
                    .warn("a client was disconnected: its session took no messages for too long");
                CloseReason::ForcedClose
            }
        }
    }
}
