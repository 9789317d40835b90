//! One metric: its name, meaning, and where its value comes from.

use manager_api::measure::Quantity;
use metrics::Unit;

use super::view::View;

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number of the moment.
    Gauge,
    /// A distribution, in buckets.
    Histogram,
}

impl Kind {
    /// Returns the name that Prometheus uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric of a server; [`ALL`](super::ALL) lists them.
///
/// ```
/// use gateway::metrics::{ALL, Kind};
///
/// // The rates that a page of one's own may show.
/// for metric in ALL.iter().filter(|metric| metric.kind() == Kind::Counter) {
///     println!("rate({}[5m])  {}", metric.name(), metric.help());
/// }
/// ```
#[derive(Debug)]
pub struct Metric {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// The name of the alert rule that uses it.
    pub(super) alert: Option<&'static str>,
    pub(super) source: Source,
}

/// Reads the values of a metric: one for each value of its label.
pub(super) type ReadEach = fn(&View) -> Vec<(&'static str, u64)>;

/// Where the value of a metric comes from.
#[derive(Debug)]
pub(super) enum Source {
    Counter(fn(&View) -> u64),
    CounterBy(&'static str, ReadEach),
    Gauge(fn(&View) -> u64),
    GaugeBy(&'static str, ReadEach),
    /// With the upper bounds of its buckets.
    Histogram(Quantity, &'static [f64]),
}

impl Metric {
    /// Returns the name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the meaning, as a sentence.
    pub fn help(&self) -> &'static str {
        self.help
    }

    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        match self.source {
            Source::Counter(_) | Source::CounterBy(..) => Kind::Counter,
            Source::Gauge(_) | Source::GaugeBy(..) => Kind::Gauge,
            Source::Histogram(..) => Kind::Histogram,
        }
    }

    /// Returns the unit, which its name ends with if it is not a count.
    pub fn unit(&self) -> Unit {
        let base = self.name.trim_end_matches("_total");
        match base.rsplit('_').next() {
            Some("seconds") => Unit::Seconds,
            Some("bytes") => Unit::Bytes,
            _ => Unit::Count,
        }
    }

    /// Returns the name of its label, if it has one. No value of it is a choice of clients.
    pub fn label(&self) -> Option<&'static str> {
        match self.source {
            Source::CounterBy(label, _) | Source::GaugeBy(label, _) => Some(label),
            _ => None,
        }
    }

    /// Returns the name of the alert rule of `docs/observability/alerts.yml` that uses it, if there is one.
    pub fn alert(&self) -> Option<&'static str> {
        self.alert
    }

    pub(super) const fn counter(name: &'static str, help: &'static str, read: fn(&View) -> u64) -> Self {
        Self::new(name, help, Source::Counter(read))
    }

    pub(super) const fn gauge(name: &'static str, help: &'static str, read: fn(&View) -> u64) -> Self {
        Self::new(name, help, Source::Gauge(read))
    }

    pub(super) const fn new(name: &'static str, help: &'static str, source: Source) -> Self {
        Self {
            name,
            help,
            alert: None,
            source,
        }
    }

    pub(super) const fn alerted(mut self, alert: &'static str) -> Self {
        self.alert = Some(alert);
        self
    }
}
