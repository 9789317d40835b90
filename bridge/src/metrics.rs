//! Metrics of a bridge, in Prometheus' text format.
//!
//! ```
//! # use bridge::{Bridge, Side, metrics};
//! # use manager_api::memory::MemoryBus;
//! # let bus = MemoryBus::new();
//! # let bridge = Bridge::builder().side(Side::new("a", bus.manager("a"))).side(Side::new("b", bus.manager("b"))).build()?;
//! let page = metrics::render(&bridge.status());
//! assert!(page.contains(r#"sio_bridge_forwarded_total{from="a",to="b"} 0"#));
//! # Ok::<(), manager_api::Error>(())
//! ```

use std::fmt::Write;

use crate::status::{BridgeDuty, PairStatus, SideStatus, Status};

/// A metric of a bridge; [`ALL`] lists them.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// Its meaning, a sentence.
    pub help: &'static str,
    read: Read,
}

/// Where the values of a metric come from.
#[derive(Debug)]
enum Read {
    Bridge(fn(&Status) -> f64),
    Duty,
    Side(fn(&SideStatus) -> f64),
    Pair(fn(&PairStatus) -> f64),
    /// Each with a reason.
    PairBy(fn(&PairStatus) -> Vec<(&'static str, u64)>),
}

macro_rules! metrics {
    ($( $name:literal $kind:literal $help:literal $read:expr; )*) => {
        /// Every metric of a bridge. `docs/bridge.md` holds the same table, and a test compares them.
        pub static ALL: &[Metric] = &[
            $( Metric { name: $name, kind: $kind, help: $help, read: $read }, )*
        ];
    };
}

metrics! {
    "sio_bridge_ready" "gauge"
        "1 if all sides are connected and the bridge forwards or could take over without loss, else 0."
        Read::Bridge(|status| flag(status.is_ready));
    "sio_bridge_duty" "gauge"
        "1 for what the bridge does: active, fenced (it is to forward, and does not receive its own beats) or standby."
        Read::Duty;
    "sio_bridge_others" "gauge"
        "Other bridges of the same name that were heard lately."
        Read::Bridge(|status| status.others as f64);
    "sio_bridge_takeovers_total" "counter"
        "Times when this bridge began to forward."
        Read::Bridge(|status| status.takeovers as f64);
    "sio_bridge_requests_refused_total" "counter"
        "Requests, and events with acknowledgements, whose responses were not carried, because too many were under way."
        Read::Bridge(|status| status.refused_requests as f64);
    "sio_bridge_side_connected" "gauge"
        "1 if the messages of a side arrive, else 0."
        Read::Side(|side| flag(side.is_connected));
    "sio_bridge_side_unheard" "gauge"
        "1 if servers of a side publish events where no bridge receives them, else 0."
        Read::Side(|side| flag(side.unheard.is_some()));
    "sio_bridge_side_without_servers" "gauge"
        "1 if no server was found on a side, else 0; 0 where servers of python-socketio may be, which do not announce themselves."
        Read::Side(|side| flag(side.has_no_servers));
    "sio_bridge_received_total" "counter"
        "Messages received from a side."
        Read::Side(|side| side.received as f64);
    "sio_bridge_marked_total" "counter"
        "Those of them that a bridge had brought there, and that are not forwarded."
        Read::Side(|side| side.marked as f64);
    "sio_bridge_undecodable_total" "counter"
        "Messages of a side that cannot be read, and are not forwarded."
        Read::Side(|side| side.undecodable as f64);
    "sio_bridge_gaps_total" "counter"
        "Times when messages of a side may have been missed by this bridge."
        Read::Side(|side| side.gaps as f64);
    "sio_bridge_responses_dropped_total" "counter"
        "Responses and acknowledgements that could not be published."
        Read::Side(|side| side.responses_dropped as f64);
    "sio_bridge_forwarded_total" "counter"
        "Messages that the broker of the destination has accepted."
        Read::Pair(|pair| pair.forwarded as f64);
    "sio_bridge_skipped_total" "counter"
        "Messages that are not forwarded: of a namespace that does not pass, or which the wire of the destination cannot carry."
        Read::PairBy(|pair| vec![("namespace", pair.skipped_namespace), ("wire", pair.skipped_wire)]);
    "sio_bridge_lost_total" "counter"
        "Messages that did not reach the destination, or may not have: unconfirmed, refused, out of order, or from before the bridge was settled."
        Read::PairBy(|pair| vec![
            ("unconfirmed", pair.lost_unconfirmed),
            ("refused", pair.lost_refused),
            ("order", pair.lost_order),
            ("unsettled", pair.lost_unsettled),
        ]);
    "sio_bridge_waiting" "gauge"
        "Messages that wait; of a standby, those of which it has not seen that they were forwarded."
        Read::Pair(|pair| pair.waiting as f64);
    "sio_bridge_waiting_bytes" "gauge"
        "Their bytes."
        Read::Pair(|pair| pair.waiting_bytes as f64);
    "sio_bridge_oldest_waiting_seconds" "gauge"
        "The age of the oldest of them."
        Read::Pair(|pair| pair.oldest.as_secs_f64());
    "sio_bridge_delay_seconds_total" "counter"
        "The time from arrival to confirmation, of all forwarded messages together."
        Read::Pair(|pair| pair.delay.as_secs_f64());
    "sio_bridge_stalled" "gauge"
        "1 from a publish that could not be sent, or was not confirmed, to the next one that is, else 0."
        Read::Pair(|pair| flag(pair.is_stalled));
    "sio_bridge_full" "gauge"
        "1 while the source is not read because too much waits, else 0."
        Read::Pair(|pair| flag(pair.is_full));
}

/// Returns the value of a gauge that is 1 or 0.
fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// Writes all metrics of a bridge.
pub fn render(status: &Status) -> String {
    let mut page = String::new();
    for metric in ALL {
        let Metric { name, kind, help, .. } = metric;
        writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("writing to memory");
        for (labels, value) in values(metric, status) {
            writeln!(page, "{name}{labels} {value}").expect("writing to memory");
        }
    }
    page
}

/// Returns the values of a metric with their labels.
fn values(metric: &Metric, status: &Status) -> Vec<(String, f64)> {
    match metric.read {
        Read::Bridge(read) => vec![(String::new(), read(status))],
        Read::Duty => [BridgeDuty::Active, BridgeDuty::Fenced, BridgeDuty::Standby]
            .map(|duty| {
                let is = flag(duty == status.duty);
                (format!("{{duty=\"{}\"}}", duty.as_str()), is)
            })
            .to_vec(),
        Read::Side(read) => {
            let sides = status.sides.iter();
            sides
                .map(|side| (format!("{{side=\"{}\"}}", escaped(&side.name)), read(side)))
                .collect()
        }
        Read::Pair(read) => {
            let pairs = status.pairs.iter();
            pairs.map(|pair| (format!("{{{}}}", ends(pair)), read(pair))).collect()
        }
        Read::PairBy(read) => {
            let pairs = status.pairs.iter();
            let each = |pair: &PairStatus| {
                let ends = ends(pair);
                let values = read(pair).into_iter();
                let labelled =
                    values.map(move |(reason, count)| (format!("{{{ends},reason=\"{reason}\"}}"), count as f64));
                labelled.collect::<Vec<_>>()
            };
            pairs.flat_map(each).collect()
        }
    }
}

fn ends(pair: &PairStatus) -> String {
    format!("from=\"{}\",to=\"{}\"", escaped(&pair.from), escaped(&pair.to))
}

/// Escapes the value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
