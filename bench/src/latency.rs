//! Distribution of latencies, and the clock that all processes of a host share.

use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The longest latency that is distinguished from longer ones.
const MAX_NANOSECONDS: u64 = 600_000_000_000;

/// A histogram of latencies, exact to three digits.
#[derive(Debug)]
pub struct Latency(Histogram<u64>);

/// The latencies in a report, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Number of latencies.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Longest.
    pub max: f64,
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// Begins without any latency.
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, MAX_NANOSECONDS, 3).expect("bounds are in order"))
    }

    /// Adds a latency; one over ten minutes counts as ten minutes.
    pub fn record(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanoseconds);
    }

    /// Forgets all, for the end of a warm-up.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the figures of a report; `None` without any latency.
    pub fn quantiles(&self) -> Option<Quantiles> {
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        (!self.0.is_empty()).then(|| Quantiles {
            count: self.0.len(),
            p50: microseconds(self.0.value_at_quantile(0.5)),
            p99: microseconds(self.0.value_at_quantile(0.99)),
            max: microseconds(self.0.max()),
        })
    }
}

/// Returns the time since boot: every process of this host reads the same clock.
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Returns `len` bytes of text that begin with the time since boot, in 16 digits of nanoseconds. It is never shorter than the stamp.
pub fn stamped(len: usize) -> String {
    let stamp = format!("{:016}:", since_boot().as_nanos());
    let padding = "x".repeat(len.saturating_sub(stamp.len()));
    stamp + &padding
}

/// Reads the stamp of an event `["m","<16 digits>:…"]` in namespace `/`.
pub fn stamp_of(packet: &[u8]) -> Option<Duration> {
    let rest = packet.strip_prefix(b"42[\"m\",\"")?;
    let digits = std::str::from_utf8(rest.get(..16)?).ok()?;
    digits.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_and_a_message_has_the_length_asked_for() {
        let before = since_boot();
        let text = stamped(128);
        assert_eq!(text.len(), 128);
        let packet = format!("42[\"m\",\"{text}\"]");
        let stamp = stamp_of(packet.as_bytes()).expect("a stamp");
        assert!(stamp >= before && stamp <= since_boot());
        assert_eq!(stamp_of(b"42[\"m\",\"short\"]"), None);
        assert_eq!(stamp_of(b"43[\"m\"]"), None);
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut latency = Latency::new();
        assert_eq!(latency.quantiles(), None);
        for microseconds in 1..=100 {
            latency.record(Duration::from_micros(microseconds));
        }
        let quantiles = latency.quantiles().expect("some");
        assert_eq!(quantiles.count, 100);
        assert!((quantiles.p50 - 50.0).abs() < 0.5, "{quantiles:?}");
        assert!((quantiles.p99 - 99.0).abs() < 0.5, "{quantiles:?}");
        assert!((quantiles.max - 100.0).abs() < 0.5, "{quantiles:?}");
        latency.clear();
        assert_eq!(latency.quantiles(), None);
    }
}
