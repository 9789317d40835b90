//! The state of an engine session, which its lock protects, and the rules that involve several of
//! its parts.

use std::task::Waker;

use crate::close::CloseReason;
use crate::config::{Config, Transport};
use crate::connection::clock::{Clock, millis};
use crate::connection::driver::{Driver, TaskState};
use crate::connection::heartbeat::{Heartbeat, HeartbeatTimes};
use crate::connection::lifecycle::Lifecycle;
use crate::connection::outbox::{Outbox, OutboxLimits};
use crate::connection::polling::Polling;

/// The limits of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Limits of what waits for one client.
    pub(crate) outbox: OutboxLimits,
    /// Times of the heartbeat.
    pub(crate) heartbeat: HeartbeatTimes,
    /// Milliseconds for which reading may pause.
    pub(crate) max_reading_pause: u64,
}

impl Limits {
    /// Converts the settings.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            outbox: OutboxLimits {
                soft: config.outbox_soft_limit,
                hard: config.outbox_hard_limit,
                grace: millis(config.slow_client_grace),
            },
            heartbeat: HeartbeatTimes {
                interval: millis(config.ping_interval),
                timeout: millis(config.ping_timeout),
            },
            max_reading_pause: millis(config.max_reading_pause),
        }
    }
}

/// Everything about a session that more than one task changes.
pub(crate) struct State {
    /// Packets that wait for the transport.
    pub(crate) outbox: Outbox,
    /// Open, closing, or closed.
    pub(crate) lifecycle: Lifecycle,
    /// The transport that carries the session now.
    pub(crate) transport: Transport,
    /// When the next ping, or the pong, is due.
    pub(crate) heartbeat: Heartbeat,
    /// The tick of the session's valid entry in the timer wheel; 0 if there is none.
    pub(crate) scheduled: u64,
    /// Since when reading from the client pauses, if it does.
    paused_since: Option<u64>,
    /// The task that polls the session's work.
    pub(crate) driver: Driver,
    /// The task that owns the WebSocket.
    pub(crate) task: TaskState,
    /// Present until the session is upgraded; absent if it began as a WebSocket.
    pub(crate) polling: Option<Box<Polling>>,
}

/// The reason to disconnect a client that was in a bad state for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overstay {
    /// Its outbox stayed over the soft limit for the whole grace.
    OverSoftLimit,
    /// Its session accepted no messages for the longest pause.
    NotRead,
}

impl State {
    /// Creates the state of a session that opens now.
    pub(crate) fn new(transport: Transport, clock: &Clock, limits: &Limits) -> Self {
        let polling = (transport == Transport::Polling).then(Box::<Polling>::default);
        // A WebSocket's task drives its session from the first turn on.
        let driver = if polling.is_some() {
            Driver::Idle
        } else {
            Driver::WebSocketTask
        };
        Self {
            outbox: Outbox::default(),
            lifecycle: Lifecycle::Open,
            transport,
            heartbeat: Heartbeat::new(clock, &limits.heartbeat),
            scheduled: 0,
            paused_since: None,
            driver,
            task: TaskState::default(),
            polling,
        }
    }

    /// Returns whether packets can be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.lifecycle.is_open()
    }

    /// Returns the reason, once the session is closed.
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.lifecycle.closed()
    }

    /// Returns whether a GET waits for packets.
    pub(crate) fn has_get(&self) -> bool {
        self.polling.as_ref().is_some_and(|polling| polling.get.is_some())
    }

    /// Returns whether the transport would take a volatile packet of this cost now, and the client
    /// keep its session.
    pub(crate) fn is_writable(&self, cost: usize, limits: &OutboxLimits) -> bool {
        if self.outbox.exceeds_hard(cost, limits) {
            return false;
        }
        match self.polling {
            Some(_) => self.has_get() && self.outbox.queue().is_empty(),
            None => self.outbox.is_writable(cost, limits),
        }
    }

    /// Notes that packets of this cost were written.
    pub(crate) fn written(&mut self, cost: usize, limits: &OutboxLimits) {
        // A closed outbox counts nothing.
        if self.closed().is_none() {
            self.outbox.written(cost, limits);
        }
    }

    /// Returns whether reading from the client pauses.
    pub(crate) fn is_reading_paused(&self) -> bool {
        self.paused_since.is_some()
    }

    /// Pauses and resumes reading; a client whose packets were not read gets new time for its pong.
    pub(crate) fn pause_reading(&mut self, pause: bool, clock: &Clock, limits: &Limits) {
        match (self.paused_since, pause) {
            (None, true) => self.paused_since = Some(clock.now()),
            (Some(_), false) => {
                self.heartbeat.resume(clock, &limits.heartbeat);
                self.paused_since = None;
            }
            _ => {}
        }
    }

    /// Resumes reading on another transport, whose heartbeat begins anew.
    pub(crate) fn reset_reading(&mut self) {
        self.paused_since = None;
    }

    /// Returns whether the client had its time to answer a ping.
    pub(crate) fn is_overdue(&self, now: u64) -> bool {
        self.heartbeat.is_overdue(now) && !self.is_reading_paused() && !self.owes_response()
    }

    /// Returns whether a GET was woken for packets and has not taken them yet: the server is late,
    /// not the client.
    fn owes_response(&self) -> bool {
        self.has_get() && !self.outbox.queue().is_empty()
    }

    /// Returns whether the client was in a bad state for too long.
    pub(crate) fn overstay(&self, now: u64, limits: &Limits) -> Option<Overstay> {
        if now >= self.outbox.grace_ends(&limits.outbox) {
            return Some(Overstay::OverSoftLimit);
        }
        (now >= self.pause_ends(limits)).then_some(Overstay::NotRead)
    }

    /// Returns when the clock has to look at an open session next.
    pub(crate) fn due(&self, limits: &Limits) -> u64 {
        let grace_ends = self.outbox.grace_ends(&limits.outbox);
        self.heartbeat.due().min(grace_ends).min(self.pause_ends(limits))
    }

    /// Returns when the client has to be read again. Above the soft limit reading pauses as well,
    /// and the grace alone counts.
    fn pause_ends(&self, limits: &Limits) -> u64 {
        match self.paused_since {
            Some(since) if !self.outbox.is_in_grace() => since.saturating_add(limits.max_reading_pause),
            _ => u64::MAX,
        }
    }

    /// Returns the waker of the task or request that sends what was queued.
    pub(crate) fn receiver(&mut self) -> Option<Waker> {
        match self.transport {
            Transport::WebSocket => self.task.take_parked(),
            Transport::Polling => self.polling.as_mut()?.get.as_mut()?.waker.take(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outgoing::Outgoing;

    const LIMITS: Limits = Limits {
        outbox: OutboxLimits {
            soft: 1_000,
            hard: 10_000,
            grace: 15_000,
        },
        heartbeat: HeartbeatTimes {
            interval: 25_000,
            timeout: 20_000,
        },
        max_reading_pause: 300_000,
    };

    fn fill(state: &mut State, bytes: usize, clock: &Clock) {
        state.outbox.push(Outgoing::text(&"x".repeat(bytes)));
        state.outbox.begin_grace(&LIMITS.outbox, clock);
    }

    async fn pass(clock: &Clock, millis: u64) -> u64 {
        tokio::time::advance(Duration::from_millis(millis)).await;
        clock.now()
    }

    #[test]
    fn a_session_needs_little_memory() {
        // There is one for each client that is connected; a field more shows here first.
        assert!(size_of::<State>() <= 176, "{}", size_of::<State>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_over_the_soft_limit_is_given_up_after_the_grace() {
        let clock = Clock::new();
        let mut state = State::new(Transport::WebSocket, &clock, &LIMITS);
        fill(&mut state, 2_000, &clock);
        assert_eq!(state.due(&LIMITS), 15_000);
        assert_eq!(state.overstay(14_999, &LIMITS), None);
        assert_eq!(state.overstay(15_000, &LIMITS), Some(Overstay::OverSoftLimit));
        state.written(state.outbox.cost(), &LIMITS.outbox);
        assert_eq!(
            (state.overstay(u64::MAX - 1, &LIMITS), state.due(&LIMITS)),
            (None, 25_000)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_not_read_is_given_up_after_the_longest_pause() {
        let clock = Clock::new();
        let mut state = State::new(Transport::WebSocket, &clock, &LIMITS);
        state.pause_reading(true, &clock, &LIMITS);
        pass(&clock, 1_000).await;
        state.pause_reading(true, &clock, &LIMITS);
        assert_eq!(state.overstay(299_999, &LIMITS), None);
        assert_eq!(
            state.overstay(300_000, &LIMITS),
            Some(Overstay::NotRead),
            "counted from the first"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn above_the_soft_limit_the_grace_alone_counts_though_reading_pauses() {
        let limits = Limits {
            max_reading_pause: 5_000,
            ..LIMITS
        };
        let clock = Clock::new();
        let mut state = State::new(Transport::WebSocket, &clock, &limits);
        fill(&mut state, 2_000, &clock);
        state.pause_reading(true, &clock, &limits);
        assert_eq!((state.overstay(14_999, &limits), state.due(&limits)), (None, 15_000));
        assert_eq!(state.overstay(15_000, &limits), Some(Overstay::OverSoftLimit));
        state.written(state.outbox.cost(), &limits.outbox);
        assert_eq!(state.overstay(5_000, &limits), Some(Overstay::NotRead));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_not_read_owes_no_pong() {
        let clock = Clock::new();
        let mut state = State::new(Transport::WebSocket, &clock, &LIMITS);
        state.heartbeat.await_pong(25_000, 0, &LIMITS.heartbeat);
        state.pause_reading(true, &clock, &LIMITS);
        let now = pass(&clock, 60_000).await;
        assert!(!state.is_overdue(now));
        state.pause_reading(false, &clock, &LIMITS);
        assert!(!state.is_overdue(now), "it gets new time");
        assert!(state.is_overdue(pass(&clock, 20_000).await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_that_was_not_answered_yet_is_not_the_fault_of_the_client() {
        let clock = Clock::new();
        let mut state = State::new(Transport::Polling, &clock, &LIMITS);
        state.heartbeat.await_pong(25_000, 0, &LIMITS.heartbeat);
        assert!(state.is_overdue(45_000));
        state.polling.as_mut().unwrap().begin_get();
        fill(&mut state, 10, &clock);
        assert!(!state.is_overdue(45_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_volatile_packet_needs_a_poll_that_waits_and_nothing_before_it() {
        let clock = Clock::new();
        let mut state = State::new(Transport::Polling, &clock, &LIMITS);
        assert!(!state.is_writable(100, &LIMITS.outbox), "no poll waits");
        state.polling.as_mut().unwrap().begin_get();
        assert!(state.is_writable(100, &LIMITS.outbox));
        assert!(!state.is_writable(10_001, &LIMITS.outbox), "over the hard limit");
        fill(&mut state, 10, &clock);
        assert!(!state.is_writable(100, &LIMITS.outbox));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_queued_wakes_the_transport_once() {
        let clock = Clock::new();
        let mut state = State::new(Transport::Polling, &clock, &LIMITS);
        assert!(state.receiver().is_none());
        state.polling.as_mut().unwrap().begin_get();
        state.polling.as_mut().unwrap().get.as_mut().unwrap().waker = Some(Waker::noop().clone());
        assert!(state.receiver().is_some());
        assert!(state.receiver().is_none());
        let mut state = State::new(Transport::WebSocket, &clock, &LIMITS);
        state.task.park(Waker::noop());
        assert!(state.receiver().is_some());
        assert!(state.receiver().is_none());
    }

    #[test]
    fn packets_written_after_the_end_count_for_nothing() {
        let clock = Clock::new();
        let mut state = State::new(Transport::WebSocket, &clock, &LIMITS);
        fill(&mut state, 10, &clock);
        let cost = state.outbox.cost();
        state.lifecycle.close(CloseReason::ForcedClose);
        state.outbox.clear();
        state.written(cost, &LIMITS.outbox);
        assert_eq!(state.outbox.cost(), 0);
    }
}
