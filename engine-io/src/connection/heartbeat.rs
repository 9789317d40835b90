//! The heartbeat of an engine session: when the next ping is due, and when the pong is overdue.
//!
//! The server pings, the client answers with a pong; the interval runs from the pong to the next ping.
//! A packet of another kind shows that the client is alive, and extends the wait for its pong once. A
//! client that is not read cannot be blamed for a missing pong, and gets new time when it is read again.

use crate::connection::clock::Clock;

/// How long the steps of a heartbeat take, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeartbeatTimes {
    /// From a pong, or the opening, to the next ping.
    pub(crate) interval: u64,
    /// From a ping to the end of the wait for its pong.
    pub(crate) timeout: u64,
}

/// The heartbeat of one session.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// When the next ping, or the pong, is due.
    due: u64,
    /// The step of the heartbeat.
    phase: Phase,
}

/// The steps of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The next ping is due at the end of the interval.
    Idle,
    /// A ping is not answered yet.
    AwaitingPong,
    /// The same, and packets other than a pong have extended the wait.
    Extended,
}

impl Heartbeat {
    /// Begins with a whole interval.
    pub(crate) fn new(clock: &Clock, times: &HeartbeatTimes) -> Self {
        Self {
            due: clock.after(times.interval),
            phase: Phase::Idle,
        }
    }

    /// Returns when the clock has to look at the session for its heartbeat.
    pub(crate) fn due(&self) -> u64 {
        self.due
    }

    /// Returns whether a ping is not answered yet.
    pub(crate) fn awaits_pong(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// Returns whether the time to answer a ping is over.
    pub(crate) fn is_overdue(&self, now: u64) -> bool {
        self.awaits_pong() && now >= self.due
    }

    /// Begins a whole interval, as after a pong; returns its end.
    pub(crate) fn restart(&mut self, clock: &Clock, times: &HeartbeatTimes) -> u64 {
        *self = Self::new(clock, times);
        self.due
    }

    /// Begins the wait for a pong. It is counted from when the ping was due, unless the server was
    /// later than `lateness` allows for: a late tick is not the client's gain, a stall of the
    /// server not its loss.
    pub(crate) fn await_pong(&mut self, now: u64, lateness: u64, times: &HeartbeatTimes) {
        let since = self.due.max(now.saturating_sub(lateness));
        self.due = since.saturating_add(times.timeout);
        self.phase = Phase::AwaitingPong;
    }

    /// Extends the wait for a pong, once, because the client sent something else.
    pub(crate) fn got_packet(&mut self, clock: &Clock, times: &HeartbeatTimes) {
        if self.phase == Phase::AwaitingPong {
            self.due = clock.after(times.timeout);
            self.phase = Phase::Extended;
        }
    }

    /// Begins the wait for a pong anew, because nothing was read from the client until now.
    pub(crate) fn resume(&mut self, clock: &Clock, times: &HeartbeatTimes) {
        if self.awaits_pong() {
            self.due = clock.after(times.timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIMES: HeartbeatTimes = HeartbeatTimes {
        interval: 25_000,
        timeout: 20_000,
    };

    async fn pass(clock: &Clock, millis: u64) -> u64 {
        tokio::time::advance(Duration::from_millis(millis)).await;
        clock.now()
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_is_due_after_the_interval_and_its_pong_overdue_after_the_timeout() {
        let clock = Clock::new();
        let mut heartbeat = Heartbeat::new(&clock, &TIMES);
        assert_eq!(heartbeat.due(), 25_000);
        let now = pass(&clock, 25_000).await;
        assert!(!heartbeat.awaits_pong() && !heartbeat.is_overdue(now));
        heartbeat.await_pong(now, 10, &TIMES);
        assert!(heartbeat.awaits_pong());
        assert!(!heartbeat.is_overdue(44_999) && heartbeat.is_overdue(45_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pong_begins_a_whole_interval() {
        let clock = Clock::new();
        let mut heartbeat = Heartbeat::new(&clock, &TIMES);
        heartbeat.await_pong(pass(&clock, 25_000).await, 10, &TIMES);
        pass(&clock, 5_000).await;
        assert_eq!(heartbeat.restart(&clock, &TIMES), 55_000);
        assert!(!heartbeat.is_overdue(u64::MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn other_packets_extend_the_wait_for_a_pong_once() {
        let clock = Clock::new();
        let mut heartbeat = Heartbeat::new(&clock, &TIMES);
        heartbeat.got_packet(&clock, &TIMES);
        assert_eq!(heartbeat.due(), 25_000, "nothing was awaited");
        heartbeat.await_pong(pass(&clock, 25_000).await, 10, &TIMES);
        pass(&clock, 15_000).await;
        heartbeat.got_packet(&clock, &TIMES);
        assert_eq!(heartbeat.due(), 60_000);
        pass(&clock, 15_000).await;
        heartbeat.got_packet(&clock, &TIMES);
        assert_eq!(heartbeat.due(), 60_000);
        assert!(heartbeat.is_overdue(60_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_tick_shortens_the_wait_and_a_stall_of_the_server_does_not() {
        let clock = Clock::new();
        let mut heartbeat = Heartbeat::new(&clock, &TIMES);
        heartbeat.await_pong(25_008, 10, &TIMES);
        assert_eq!(heartbeat.due(), 45_000);
        let mut heartbeat = Heartbeat::new(&clock, &TIMES);
        heartbeat.await_pong(29_000, 10, &TIMES);
        assert_eq!(heartbeat.due(), 48_990);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_was_not_read_gets_the_whole_timeout_again() {
        let clock = Clock::new();
        let mut heartbeat = Heartbeat::new(&clock, &TIMES);
        heartbeat.resume(&clock, &TIMES);
        assert_eq!(heartbeat.due(), 25_000, "nothing was awaited");
        heartbeat.await_pong(25_000, 10, &TIMES);
        let now = pass(&clock, 44_000).await;
        heartbeat.resume(&clock, &TIMES);
        assert_eq!(heartbeat.due(), now + 20_000);
    }
}
