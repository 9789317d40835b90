//! Measurements of durations and sizes, for metrics. Nothing is measured until a [`Meter`] is installed.
//!
//! Counters are kept where things happen, and read when metrics are requested. Distributions cannot be kept that way: they
//! need each value. The crates of a server and of an emitter hand these values to the one meter of the process, so that none
//! of them depends on a library for metrics. `gateway::metrics` installs a meter that records histograms.
//!
//! Without a meter a measurement costs one load of an atomic. With one, it costs two reads of the clock for each emit; what
//! happens once for each event of a client is [sampled](is_sampled).
//!
//! ```
//! use manager_api::measure::{self, Meter, Quantity};
//!
//! struct SlowPublishes;
//!
//! impl Meter for SlowPublishes {
//!     fn record(&self, quantity: Quantity, value: f64) {
//!         if quantity == Quantity::PublishTime && value > 1.0 {
//!             println!("the broker took {value} seconds");
//!         }
//!     }
//! }
//!
//! assert!(measure::install(SlowPublishes));
//! ```

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Instant;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quantity {
    /// The time until the broker accepted an event or a command of this process, or until that failed; in seconds.
    PublishTime,
    /// The time to put an event into the outboxes of its recipients on this server, pauses for slow clients left out; in
    /// seconds.
    FanOutTime,
    /// The time from the start of an event's handler, middleware included, to its end; in seconds. One of 64 is measured.
    HandlerTime,
    /// The time from the publish of an event by another process until it is in the outboxes of its recipients, by the wall
    /// clocks of both machines; in seconds. Zero if the clock of the emitter is ahead.
    MessageAge,
    /// Bytes in the outbox of one recipient after an event was put into it. One of 64 events is measured.
    OutboxBytes,
}

impl Quantity {
    /// All quantities, in the order of their declaration.
    pub const ALL: [Self; 5] = [
        Self::PublishTime,
        Self::FanOutTime,
        Self::HandlerTime,
        Self::MessageAge,
        Self::OutboxBytes,
    ];
}

/// Receives measurements.
pub trait Meter: Send + Sync + 'static {
    /// Records a value, in the unit of its quantity. It is called on hot paths, and must neither block nor panic.
    fn record(&self, quantity: Quantity, value: f64);
}

/// The meter of this process.
static METER: OnceLock<Box<dyn Meter>> = OnceLock::new();

/// One of so many events is measured where each costs too much.
const SAMPLE: u8 = 64;

/// Installs the meter of this process, once; returns whether it is the first.
pub fn install(meter: impl Meter) -> bool {
    METER.set(Box::new(meter)).is_ok()
}

/// Returns whether there is a meter.
pub fn is_on() -> bool {
    METER.get().is_some()
}

/// Records a value, if there is a meter.
pub fn record(quantity: Quantity, value: f64) {
    if let Some(meter) = METER.get() {
        meter.record(quantity, value);
    }
}

/// Returns whether this value is to be measured: the first of every 64 on each thread, if there is a meter.
pub fn is_sampled(quantity: Quantity) -> bool {
    thread_local! {
        static CALLS: [Cell<u8>; Quantity::ALL.len()] = const { [const { Cell::new(0) }; Quantity::ALL.len()] };
    }
    is_on()
        && CALLS.with(|calls| {
            let calls = &calls[quantity as usize];
            calls.set((calls.get() + 1) % SAMPLE);
            calls.get() == 1
        })
}

/// A running measurement of a time; nothing without a meter.
#[derive(Debug)]
#[must_use]
pub struct Stopwatch(Option<Instant>);

impl Stopwatch {
    /// Starts a measurement, if there is a meter.
    pub fn start() -> Self {
        Self(is_on().then(Instant::now))
    }

    /// Records the time since the start.
    pub fn record(self, quantity: Quantity) {
        if let Some(since) = self.0 {
            record(quantity, since.elapsed().as_secs_f64());
        }
    }
}

/// Completes a future, and records how long it took.
///
/// # Cancel safety
///
/// As the future; nothing is recorded if it is dropped.
pub async fn timed<T>(quantity: Quantity, future: impl Future<Output = T>) -> T {
    let stopwatch = Stopwatch::start();
    let output = future.await;
    stopwatch.record(quantity);
    output
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    static SEEN: Mutex<Vec<(Quantity, f64)>> = Mutex::new(Vec::new());

    struct Recorder;

    impl Meter for Recorder {
        fn record(&self, quantity: Quantity, value: f64) {
            SEEN.lock().unwrap().push((quantity, value));
        }
    }

    // One test, because there is one meter for the process.
    #[tokio::test]
    async fn nothing_is_measured_before_there_is_a_meter_and_one_of_64_is_sampled_then() {
        let early = Stopwatch::start();
        assert!(!is_on() && !is_sampled(Quantity::HandlerTime));
        assert!(install(Recorder) && !install(Recorder));
        early.record(Quantity::FanOutTime);
        assert!(timed(Quantity::MessageAge, async { is_on() }).await);
        record(Quantity::OutboxBytes, 7.0);
        let seen = SEEN.lock().unwrap().clone();
        let of = |quantity: Quantity| seen.iter().filter(move |seen| seen.0 == quantity).count();
        assert_eq!((of(Quantity::FanOutTime), of(Quantity::MessageAge)), (0, 1));
        assert!(seen.contains(&(Quantity::OutboxBytes, 7.0)));
        let sampled = |quantity| (0..640).filter(|_| is_sampled(quantity)).count();
        assert_eq!(
            (sampled(Quantity::HandlerTime), sampled(Quantity::OutboxBytes)),
            (10, 10)
        );
    }
}
