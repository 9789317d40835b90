//! The endpoint for Prometheus, rendered on request.

use std::convert::Infallible;
use std::fmt;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use tower_service::Service;

use super::{Observed, meter, record};
use crate::respond::{self, Body, Responding};

/// The path under which Prometheus looks for metrics.
pub const PATH: &str = "/metrics";

/// The type of Prometheus' text format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders the metrics of a server as Prometheus reads them.
///
/// Counters are read one by one, so that sums may be off by the events of the moment. Nothing is sent to the broker. It is a service that responds with them to every GET and HEAD.
/// Cloning is cheap.
#[derive(Clone)]
pub struct Exporter {
    observed: Observed,
    histograms: Option<&'static PrometheusHandle>,
}

impl Exporter {
    /// Exports the metrics of a server, given by its [`Health`](crate::health::Health) or as an [`Observed`], and from the first exporter on records the distributions of the process; they are the
    /// same for all its servers, and left out if [`record_distributions`](super::record_distributions) was called before.
    pub fn new(observed: impl Into<Observed>) -> Self {
        Self {
            observed: observed.into(),
            histograms: meter::own_histograms(),
        }
    }

    /// Returns all metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        // A recorder for this page alone: several servers in one process do not mix, and no value outlives its label.
        let recorder = meter::builder().build_recorder();
        metrics::with_local_recorder(&recorder, || record(self.observed.clone()));
        let mut page = recorder.handle().render();
        if let Some(histograms) = self.histograms {
            page.push_str(&histograms.render());
        }
        page
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("observed", &self.observed)
            .field("has_histograms", &self.histograms.is_some())
            .finish()
    }
}

impl<B> Service<Request<B>> for Exporter {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Responding {
        respond::to_read(request.method(), || (StatusCode::OK, CONTENT_TYPE, self.render()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use manager_api::measure::{self, Quantity};
    use socket_io::SocketIo;

    use super::super::{ALL, Kind};
    use super::*;
    use crate::health::Health;

    /// The value of each sample, by its name with labels.
    fn samples(page: &str) -> BTreeMap<&str, f64> {
        let lines = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let sample = |line: &'_ str| -> Option<(usize, f64)> {
            let at = line.rfind(' ')?;
            Some((at, line[at + 1..].parse().ok()?))
        };
        lines
            .map(|line| {
                let (at, value) = sample(line).unwrap_or_else(|| panic!("not a sample: {line}"));
                (&line[..at], value)
            })
            .collect()
    }

    #[tokio::test]
    async fn a_page_has_every_metric_once_with_its_meaning_and_servers_do_not_mix() {
        let health = Health::new(SocketIo::new());
        let (exporter, draining) = (Exporter::new(&health), Health::new(SocketIo::new()));
        draining.start_draining();
        for quantity in Quantity::ALL {
            measure::record(quantity, 0.3);
        }
        let page = exporter.render();
        for metric in ALL {
            let (name, kind) = (metric.name(), metric.kind().as_str());
            assert_eq!(
                page.matches(&format!("# TYPE {name} {kind}\n")).count(),
                1,
                "{name}: {page}"
            );
            assert!(
                page.contains(&format!("# HELP {name} {}\n", metric.help())),
                "{name}: {page}"
            );
        }
        let values = samples(&page);
        let read = |name: &str| *values.get(name).unwrap_or_else(|| panic!("no {name}: {page}"));
        assert_eq!((read("sio_ready"), read("sio_clients")), (1.0, 0.0));
        assert_eq!(read("sio_sessions_closed_total{reason=\"ping timeout\"}"), 0.0);
        assert_eq!(read("sio_broker_connected{direction=\"listening\"}"), 0.0);
        for metric in ALL.iter().filter(|metric| metric.kind() == Kind::Histogram) {
            assert!(read(&format!("{}_count", metric.name())) >= 1.0, "{page}");
            assert!(
                read(&format!("{}_bucket{{le=\"+Inf\"}}", metric.name())) >= 1.0,
                "{page}"
            );
        }
        let other = Exporter::new(&draining).render();
        assert_eq!(samples(&other)["sio_ready"], 0.0);
    }
}
