//! The report of a run: one line of JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::latency::Quantiles;
use crate::process::Cpu;

/// The outcome of one run of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The number of connections, acknowledged events or deliveries.
    pub num_operations: u64,
    /// Operations per second while measured.
    pub per_second: f64,
    /// Processor time per operation and process, in microseconds.
    pub cpu: BTreeMap<String, Cpu>,
    /// From the beginning of an operation to its end.
    pub latency: Option<Quantiles>,
    /// Resident memory of the server, where the scenario looks at it.
    pub memory: Option<Memory>,
    /// Highest resident memory per process so far, in KiB, where the scenario looks at it.
    pub peak_kib: BTreeMap<String, u64>,
    /// Operations that were expected and never seen.
    pub num_lost: u64,
    /// Deliveries that came twice or out of order, where one emitter sends one after the other.
    pub num_out_of_order: u64,
    /// Clients that failed.
    pub num_failed: u64,
    /// The report of the emitter, if it prints one.
    #[serde(default)]
    pub emitter: Option<Emitted>,
    /// The counters of the server at its end, by name, if it prints them: gaps, restarts of its listener, undecodable messages.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
}

/// The report of an emitter, printed at its end as one line of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Emitted {
    /// Events that the broker accepted.
    pub num_events: u64,
    /// Events per second.
    pub per_second: f64,
    /// Processor time of the emitter per event, in microseconds.
    pub cpu_per_event: f64,
}

impl Emitted {
    /// Reads the last such line in the output of an emitter; `None` if there is none.
    pub fn parse(output: &[u8]) -> Option<Self> {
        // A client library may have something to say after it.
        let mut lines = output.rsplit(|&byte| byte == b'\n');
        lines.find_map(|line| serde_json::from_slice(line).ok())
    }
}

/// Resident memory of the server, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Before the first client.
    pub before: u64,
    /// With all clients, idle.
    pub idle: u64,
    /// After all clients have left.
    pub after: u64,
    /// Number of clients.
    pub num_clients: u64,
}

impl Memory {
    /// Returns the memory of one idle client, in KiB.
    pub fn per_client(&self) -> f64 {
        (self.idle as f64 - self.before as f64) / self.num_clients.max(1) as f64
    }
}

impl Report {
    /// Returns the processor time of the server per operation, in microseconds.
    pub fn server_cpu(&self) -> Option<f64> {
        self.cpu.get("server").map(|cpu| cpu.total())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_emitter_says_is_its_last_line_of_that_form() {
        let said = br#"{"num_events":10,"per_second":5.0,"cpu_per_event":1.5}"#;
        let emitted = Emitted::parse(&[b"a log line\n", &said[..], b"\nclosed\n"].concat()).expect("it says something");
        assert_eq!((emitted.num_events, emitted.cpu_per_event), (10, 1.5));
        assert_eq!(Emitted::parse(b""), None);
        assert_eq!(Emitted::parse(b"connected\n"), None);
    }
}
