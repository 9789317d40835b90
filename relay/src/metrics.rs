//! The page for Prometheus. [`METRICS`] is what it holds; `docs/relay.md` has the same table.

use metrics::{Label, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::status::{Numbers, RelayStatus};

/// A metric of a relay.
#[derive(Debug)]
#[non_exhaustive]
pub struct Metric {
    /// Its name; that of a counter ends with `_total`.
    pub name: &'static str,
    /// Its meaning, as a sentence.
    pub help: &'static str,
    /// Its label and the value of that, if it has one.
    label: Option<(&'static str, &'static str)>,
    /// Reads its value; `None` where it is not known.
    read: fn(&Numbers) -> Option<u64>,
}

impl Metric {
    const fn new(name: &'static str, help: &'static str, read: fn(&Numbers) -> Option<u64>) -> Self {
        let label = None;
        Self {
            name,
            help,
            label,
            read,
        }
    }

    const fn labelled(mut self, name: &'static str, value: &'static str) -> Self {
        self.label = Some((name, value));
        self
    }

    fn is_counter(&self) -> bool {
        self.name.ends_with("_total")
    }
}

const DEAD: &str = "Records that became dead letters, by reason.";

/// Every metric of a relay. `sio_relay_ready` stands before them on the page.
pub static METRICS: &[Metric] = &[
    Metric::new("sio_relay_records_read_total", "Records read from the source.", |n| {
        Some(n.read)
    }),
    Metric::new(
        "sio_relay_records_redelivered_total",
        "Records that the source had handed out before, as far as it says.",
        |n| Some(n.redelivered),
    ),
    Metric::new("sio_relay_emitted_total", "Events that the broker accepted.", |n| {
        Some(n.emitted)
    }),
    Metric::new(
        "sio_relay_acknowledged_total",
        "Records acknowledged to the source.",
        |n| Some(n.acknowledged),
    ),
    Metric::new("sio_relay_dead_letters_total", DEAD, |n| Some(n.unmapped)).labelled("reason", "unmapped"),
    Metric::new("sio_relay_dead_letters_total", DEAD, |n| Some(n.refused)).labelled("reason", "refused"),
    Metric::new(
        "sio_relay_emit_failures_total",
        "Attempts to emit that failed and were repeated.",
        |n| Some(n.emit_failures),
    ),
    Metric::new(
        "sio_relay_source_failures_total",
        "Calls of the source that failed and were repeated.",
        |n| Some(n.source_failures),
    ),
    Metric::new(
        "sio_relay_gaps_total",
        "Times when the source had removed records before they were emitted.",
        |n| Some(n.gaps),
    ),
    Metric::new("sio_relay_in_flight", "Records read and not acknowledged.", |n| {
        Some(n.in_flight)
    }),
    Metric::new(
        "sio_relay_lag",
        "Records that wait in the source, where it says so.",
        |n| n.lag,
    ),
    Metric::new(
        "sio_relay_oldest_seconds",
        "The age of the oldest record in the source, where it says so.",
        |n| n.oldest_secs,
    ),
    Metric::new(
        "sio_relay_source_connected",
        "1 if the source is connected, else 0.",
        |n| Some(n.is_source_connected.into()),
    ),
    Metric::new(
        "sio_relay_broker_connected",
        "1 if the broker accepts events, as far as is known, else 0.",
        |n| Some(n.is_broker_connected.into()),
    ),
];

impl RelayStatus {
    /// Returns the metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        // A recorder for this page alone, so that several relays in one process do not mix.
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe_gauge!("sio_relay_ready", "1 if the relay moves records, else 0.");
            gauge!("sio_relay_ready").set(f64::from(u8::from(self.check_ready().is_ok())));
            let numbers = self.numbers();
            METRICS.iter().for_each(|metric| record(metric, &numbers));
        });
        recorder.handle().render()
    }
}

fn record(metric: &Metric, numbers: &Numbers) {
    let Some(value) = (metric.read)(numbers) else {
        return;
    };
    let labels: Vec<_> = metric
        .label
        .map(|(name, value)| Label::new(name, value))
        .into_iter()
        .collect();
    if metric.is_counter() {
        describe_counter!(metric.name, metric.help);
        counter!(metric.name, labels).absolute(value);
    } else {
        describe_gauge!(metric.name, metric.help);
        gauge!(metric.name, labels).set(value as f64);
    }
}
