//! `sio emit --lines`: an event for each line of standard input, as fast as the broker accepts.
//!
//! One thread reads, checks and encodes; the task here keeps many events in flight, started in the order of their lines, which is
//! the order they are published in. Both ends are bounded: what is read ahead, and what is in flight.

mod progress;
mod reader;
mod results;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use manager_api::{Error, IdempotencyKey};
use tokio::time::Instant;

use crate::backend::Backend;
use crate::failure::Failure;
use crate::log;
use crate::plan::LinesPlan;
use crate::stop::{Signal, Signals};
use progress::Progress;
use reader::{Input, Read};
use results::{LineResult, Results};

/// Events handed to the manager and not yet accepted: enough to fill its pipeline many times over.
const MAX_IN_FLIGHT: usize = 4_096;
/// Bytes of their arguments, beyond which no further event is started.
const MAX_IN_FLIGHT_BYTES: usize = 32 << 20;
/// How far `--rate` may fall behind and still catch up, so that the clock's grain does not lower the rate.
const MAX_CATCH_UP: Duration = Duration::from_millis(20);

/// An event that was started, and whether the broker accepted it.
struct Outcome {
    number: u64,
    num_bytes: usize,
    key: Option<IdempotencyKey>,
    result: Result<(), Error>,
}

pub(super) async fn run(plan: LinesPlan) -> Result<(), Failure> {
    let backend = plan.broker.backend()?;
    let emitter = backend.emitter();
    let signals = Signals::new();
    let mut input = reader::start(plan.format.parser(&emitter), plan.broker.options.max_message_bytes)?;
    let mut pump = Pump {
        backend: &backend,
        waiting: VecDeque::new(),
        in_flight: FuturesUnordered::new(),
        in_flight_bytes: 0,
        num_handled: 0,
        pace: Pace::new(plan.events_per_second),
        keep_going: plan.keep_going,
        first_failure: None,
        progress: Progress::start(&input, plan.broker.quiet),
        results: Results::new(plan.results),
    };
    let signal = backend
        .explaining(plan.broker.quiet, pump.run(&mut input, signals))
        .await;
    if pump.in_flight.is_empty() {
        // Nothing is left to flush; where an event was refused, the broker may be out of reach.
        let done = pump.first_failure.as_ref().map_or(Ok(()), Err);
        super::emit::close_after(&done, &emitter).await;
    }
    pump.finish(input.counters.num_lines(), signal)
}

/// Moves lines from the reader into flight, and counts how they land.
struct Pump<'a> {
    backend: &'a Backend,
    waiting: VecDeque<Read>,
    in_flight_bytes: usize,
    /// Lines that were started, or found bad: what was read beyond them was not sent.
    num_handled: u64,
    in_flight: FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    pace: Pace,
    keep_going: bool,
    /// The failure that decides the exit code: the broker's before the input's.
    first_failure: Option<Failure>,
    progress: Progress,
    results: Results,
}

impl Pump<'_> {
    /// Runs until everything landed; tells which signal ended it early. After a second one what is in flight has not landed.
    async fn run(&mut self, input: &mut Input, mut signals: Signals) -> Option<Signal> {
        let mut reading = true;
        let mut signal = None;
        loop {
            self.launch();
            if self.has_given_up() || signal.is_some() {
                reading = false;
                input.batches.close();
                self.waiting.clear();
            }
            let landed = self.waiting.is_empty() && self.in_flight.is_empty();
            if !reading && landed && self.results.is_done() {
                return signal;
            }
            let wants_more = reading && self.waiting.is_empty();
            let next_start = self.pace.next_start().filter(|_| !self.waiting.is_empty());
            tokio::select! {
                Some(outcome) = self.in_flight.next(), if !self.in_flight.is_empty() => self.land(outcome),
                batch = input.batches.recv(), if wants_more => match batch {
                    Some(batch) => self.waiting.extend(batch),
                    None => reading = false,
                },
                () = sleep_until(next_start), if next_start.is_some() => {}
                printed = self.results.print() => if let Err(failure) = printed {
                    self.progress.say(&format!("sio: {failure}"));
                    self.fail(failure, "stopped because its results could not be printed; --keep-going would go on");
                },
                next = signals.next() => match signal {
                    None => {
                        signal = Some(next);
                        self.progress.interrupted(next, self.in_flight.len());
                    }
                    Some(_) => return signal,
                },
            }
        }
    }

    /// Starts what may start now, in the order of the lines.
    fn launch(&mut self) {
        while self.has_room() && !self.has_given_up() {
            if !self.waiting.is_empty() && !self.pace.take() {
                return;
            }
            match self.waiting.pop_front() {
                Some(Read::Event {
                    number,
                    num_bytes,
                    key,
                    publish,
                }) => {
                    self.num_handled += 1;
                    self.in_flight_bytes += num_bytes;
                    self.in_flight.push(Box::pin(async move {
                        Outcome {
                            number,
                            num_bytes,
                            key,
                            result: publish.await,
                        }
                    }));
                }
                Some(Read::Bad { number, reason }) => {
                    self.num_handled += 1;
                    self.progress.bad(number, &reason);
                    self.results.add(&LineResult::bad(number, &reason));
                    let failure = Failure::input(format!("line {number} cannot be used: {reason}"));
                    self.fail(failure, "stopped at a bad line; --keep-going would skip it");
                }
                Some(Read::Failed(failure)) => {
                    self.progress.say(&format!("sio: {failure}"));
                    self.fail(failure, "reading ended early");
                }
                None => return,
            }
        }
    }

    fn land(&mut self, outcome: Outcome) {
        let Outcome { number, key, .. } = outcome;
        self.in_flight_bytes -= outcome.num_bytes;
        match outcome.result {
            Ok(()) => {
                self.results.add(&LineResult::accepted(number, key.as_ref()));
                if self.progress.accepted() == 1 {
                    log::with_managers();
                }
            }
            Err(error) => {
                self.results.add(&LineResult::refused(number, key.as_ref(), &error));
                let failure = self.backend.failure("emit", error);
                // Once it gives up, what is still in flight fails for the same reason: counted, not said again.
                let is_news = !self.has_given_up();
                self.progress.refused(number, is_news.then_some(&failure));
                self.fail(failure, "stopped at a refused event; --keep-going would go on");
            }
        }
    }

    /// Remembers the failure that decides the exit code. What it says was said when it happened.
    fn fail(&mut self, failure: Failure, consequence: &'static str) {
        let decides = match (&self.first_failure, &failure) {
            (None, _) => true,
            (Some(Failure::Input(_)), Failure::Broker(_) | Failure::OutOfReach(..)) => true,
            (Some(_), _) => false,
        };
        if !decides {
            return;
        }
        let summary = if self.keep_going {
            "not every line was emitted"
        } else {
            consequence
        };
        self.first_failure = Some(match failure {
            Failure::Input(_) | Failure::Usage => Failure::input(summary),
            Failure::OutOfReach(_, hint) => Failure::OutOfReach(anyhow::Error::msg(summary), hint),
            Failure::Broker(_) | Failure::Signal(..) => Failure::broker(summary),
            Failure::ClosedPipe => Failure::ClosedPipe,
        });
    }

    /// Sums up, given how many lines were read. What was read and not sent is never left unsaid.
    fn finish(self, num_read: u64, signal: Option<Signal>) -> Result<(), Failure> {
        let num_unsent = num_read.saturating_sub(self.num_handled);
        let num_unconfirmed = self.in_flight.len();
        self.progress.finish(num_unsent, num_unconfirmed, signal);
        let left = left(num_unsent, self.progress.num_refused(), num_unconfirmed);
        match (signal, self.first_failure) {
            (Some(signal), _) => Err(Failure::signal(signal, left)),
            (None, None) => Ok(()),
            (None, Some(failure)) if num_unsent == 0 => Err(failure),
            (None, Some(failure)) => Err(failure.with(&left)),
        }
    }

    /// A single event always has room, however large.
    fn has_room(&self) -> bool {
        let is_read = self.results.has_room();
        is_read && self.in_flight.len() < MAX_IN_FLIGHT && self.in_flight_bytes < MAX_IN_FLIGHT_BYTES
    }

    fn has_given_up(&self) -> bool {
        !self.keep_going && self.first_failure.is_some()
    }
}

/// Says what became of lines that were read and not accepted.
fn left(num_unsent: u64, num_refused: u64, num_unconfirmed: usize) -> String {
    let lines = |count: u64| match count {
        1 => "1 line that was read was".to_owned(),
        count => format!("{count} lines that were read were"),
    };
    let mut parts = Vec::new();
    if num_unconfirmed > 0 {
        parts.push(format!(
            "{num_unconfirmed} events without an answer may have been published"
        ));
    }
    if num_refused > 0 {
        parts.push(format!("{} refused", lines(num_refused)));
    }
    if num_unsent > 0 {
        parts.push(format!("{} not sent", lines(num_unsent)));
    }
    if parts.is_empty() {
        return "everything that was read was sent".to_owned();
    }
    parts.join("; ")
}

async fn sleep_until(start: Option<Instant>) {
    if let Some(start) = start {
        tokio::time::sleep_until(start).await;
    }
}

/// When the next event may start.
struct Pace {
    interval: Option<Duration>,
    next: Instant,
}

impl Pace {
    fn new(events_per_second: Option<f64>) -> Pace {
        Pace {
            interval: events_per_second.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            next: Instant::now(),
        }
    }

    /// Takes the turn if it has come.
    fn take(&mut self) -> bool {
        self.interval.is_none() || self.take_at(Instant::now())
    }

    fn take_at(&mut self, now: Instant) -> bool {
        let Some(interval) = self.interval else {
            return true;
        };
        if now < self.next {
            return false;
        }
        let oldest = now.checked_sub(MAX_CATCH_UP).unwrap_or(now);
        self.next = self.next.max(oldest) + interval;
        true
    }

    /// When waiting is needed before the next turn, until when.
    fn next_start(&self) -> Option<Instant> {
        self.interval.map(|_| self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_were_refused_are_not_said_to_be_sent() {
        assert_eq!(left(0, 0, 0), "everything that was read was sent");
        assert_eq!(left(0, 3, 0), "3 lines that were read were refused");
        assert_eq!(
            left(1, 2, 4),
            "4 events without an answer may have been published; 2 lines that were read were refused; 1 line that was read was not sent"
        );
    }

    /// How many turns there are at once.
    fn turns(pace: &mut Pace, now: Instant) -> usize {
        std::iter::repeat_with(|| pace.take_at(now))
            .take_while(|taken| *taken)
            .count()
    }

    #[test]
    fn a_rate_is_kept_and_an_idle_time_is_not_made_up_for() {
        let mut pace = Pace::new(Some(1_000.0));
        let start = pace.next;
        let taken: usize = (0..100)
            .map(|tick| turns(&mut pace, start + Duration::from_millis(7 * tick)))
            .sum();
        assert_eq!(taken, 694, "one at once, then 99 times 7");
        assert_eq!(turns(&mut pace, start + Duration::from_secs(60)), 21);
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        assert!(
            Pace {
                interval: None,
                next: Instant::now() + Duration::from_secs(9)
            }
            .take()
        );
    }
}
