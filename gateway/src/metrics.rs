//! Metrics of a server: their names, and an endpoint for Prometheus.
//!
//! [`ALL`] lists every metric with its meaning; `docs/observability.md` adds alerts, a dashboard and what to do.
//!
//! Counters and numbers of the moment are read when they are asked for: they cost a server nothing. Distributions (times,
//! ages, sizes) are recorded where they happen, for the whole process, from the first [`Exporter`] on; see
//! [`measure`](manager_api::measure).
//!
//! ```
//! use gateway::health::Health;
//! use gateway::metrics::Exporter;
//! use socket_io::SocketIo;
//!
//! let health = Health::new(SocketIo::new());
//! let exporter = Exporter::new(&health);
//! assert!(exporter.render().contains("sio_clients 0"));
//! let app: axum::Router = axum::Router::new().route_service("/metrics", exporter);
//! ```
//!
//! # With another exporter
//!
//! An application that has installed a recorder for the [`metrics`](https://docs.rs/metrics) facade of its own calls
//! [`record_distributions`] once, and [`record`] at the interval of its exporter:
//!
//! ```no_run
//! # async fn example(health: gateway::health::Health) {
//! gateway::metrics::record_distributions();
//! loop {
//!     gateway::metrics::record(&health);
//!     tokio::time::sleep(std::time::Duration::from_secs(10)).await;
//! }
//! # }
//! ```

mod bounds;
mod exporter;
mod meter;
mod metric;
mod observed;
mod table;
mod view;

pub(crate) use exporter::CONTENT_TYPE;
pub use exporter::{Exporter, PATH};
pub use meter::record_distributions;
pub use metric::{Kind, Metric};
pub use observed::Observed;
pub use table::ALL;

use metrics::{Label, counter, describe_counter, describe_gauge, describe_histogram, gauge};

use metric::Source;
use view::View;

/// Hands the counters and the numbers of this moment to the recorder of the facade, with their descriptions.
///
/// Distributions are not among them: they are recorded where they happen, see [`record_distributions`]. With several servers
/// in one process the last one wins; an [`Exporter`] keeps them apart.
pub fn record(observed: impl Into<Observed>) {
    record_view(&View::of(&observed.into()));
}

fn record_view(view: &View) {
    describe();
    for metric in ALL {
        match metric.source {
            Source::Counter(read) => counter!(metric.name).absolute(read(view)),
            Source::Gauge(read) => gauge!(metric.name).set(read(view) as f64),
            Source::CounterBy(label, read) => {
                for (value, count) in read(view) {
                    counter!(metric.name, vec![Label::new(label, value)]).absolute(count);
                }
            }
            Source::GaugeBy(label, read) => {
                for (value, number) in read(view) {
                    gauge!(metric.name, vec![Label::new(label, value)]).set(number as f64);
                }
            }
            // Recorded where it happens.
            Source::Histogram(..) => {}
        }
    }
}

/// Describes every metric to the recorder of the facade.
fn describe() {
    for metric in ALL {
        match metric.kind() {
            Kind::Counter => describe_counter!(metric.name, metric.unit(), metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.unit(), metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.unit(), metric.help),
        }
    }
}

#[cfg(test)]
mod tests;
