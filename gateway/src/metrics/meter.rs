//! The meter of the process: hands measurements to histograms of the facade.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use manager_api::measure::{self, Meter, Quantity};
use metrics::{Histogram, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::metric::Source;
use super::table::ALL;

/// The time between two runs in which recorded values become counts of their buckets.
const UPKEEP: Duration = Duration::from_secs(1);

/// Histograms of the recorder that was installed when they were looked up, so that a measurement looks nothing up.
struct Histograms([Histogram; Quantity::ALL.len()]);

impl Histograms {
    fn look_up() -> Self {
        let mut histograms = std::array::from_fn(|_| Histogram::noop());
        for metric in ALL {
            if let Source::Histogram(quantity, _) = metric.source {
                histograms[quantity as usize] = histogram!(metric.name);
            }
        }
        Self(histograms)
    }
}

impl Meter for Histograms {
    fn record(&self, quantity: Quantity, value: f64) {
        if let Some(histogram) = self.0.get(quantity as usize) {
            histogram.record(value);
        }
    }
}

/// Records distributions in the recorder that the application has installed for the facade, from now on; `false` if a meter
/// was installed before. Without a recorder they go nowhere.
pub fn record_distributions() -> bool {
    if measure::is_on() {
        return false;
    }
    super::describe();
    measure::install(Histograms::look_up())
}

/// Returns the histograms of this process as Prometheus reads them, which are recorded from the first call on; `None` if
/// another meter has them.
pub(super) fn own_histograms() -> Option<&'static PrometheusHandle> {
    static OWN: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    OWN.get_or_init(install_own).as_ref()
}

fn install_own() -> Option<PrometheusHandle> {
    if measure::is_on() {
        return None;
    }
    let recorder = builder().build_recorder();
    let handle = recorder.handle();
    let histograms = metrics::with_local_recorder(&recorder, || {
        super::describe();
        Histograms::look_up()
    });
    let upkeep = handle.clone();
    let thread = thread::Builder::new().name("sio-metrics".to_owned());
    // Without it recorded values would take memory until they are asked for.
    thread.spawn(move || keep_up(&upkeep)).ok()?;
    measure::install(histograms).then_some(handle)
}

/// Makes recorded values counts of their buckets, for ever. On a thread, because the runtimes of a process may end.
fn keep_up(histograms: &PrometheusHandle) {
    loop {
        thread::sleep(UPKEEP);
        histograms.run_upkeep();
    }
}

/// Starts a recorder that knows the buckets of the histograms.
pub(super) fn builder() -> PrometheusBuilder {
    let mut builder = PrometheusBuilder::new();
    for metric in ALL {
        if let Source::Histogram(_, bounds) = metric.source {
            let matcher = Matcher::Full(metric.name.to_owned());
            builder = builder
                .set_buckets_for_metric(matcher, bounds)
                .expect("every histogram has bounds");
        }
    }
    builder
}
