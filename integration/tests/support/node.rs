//! A server in a process of its own.

use std::net::SocketAddr;
use std::time::Duration;

use integration::DEADLINE;
use integration::app::Load;
use integration::driven::Driven;
use integration::script::Act;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;

/// Between two looks at a server, which they keep from its work.
const PAUSE: Duration = Duration::from_millis(5);

/// `sio-test-node`. Dropping it kills it.
pub(crate) struct Node {
    driven: Driven,
    pub(crate) address: SocketAddr,
}

impl Node {
    pub(crate) async fn start(url: &str, channel: &str) -> Self {
        Self::start_with(&[url, channel]).await
    }

    /// Starts one that has what random scripts need.
    pub(crate) async fn start_for_scripts(url: &str, channel: &str) -> Self {
        Self::start_with(&[url, channel, "script"]).await
    }

    async fn start_with(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sio-test-node"));
        command.args(arguments);
        let mut driven = Driven::program("a server", command);
        let listening = driven.until(DEADLINE, |event| event["event"] == "listening").await;
        let port = listening["port"].as_u64().unwrap().try_into().unwrap();
        Self {
            driven,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    /// Makes the server emit to `room`; returns the numbers of accepted and failed events, and the first error.
    pub(crate) async fn emit(&mut self, room: &str, load: &Load) -> Value {
        self.driven
            .call(json!({
                "cmd": "emit", "room": room, "origin": load.origin, "count": load.count, "in_flight": load.in_flight,
                "padding": load.padding,
            }))
            .await
    }

    /// Starts an operation of the server.
    pub(crate) async fn act(&mut self, act: &Act) {
        self.driven.call(json!({ "cmd": "act", "act": act })).await;
    }

    /// Returns how many servers answer this one, itself included; `None` if it cannot ask.
    pub(crate) async fn num_servers(&mut self) -> Option<u64> {
        self.driven.call(json!({ "cmd": "servers" })).await.as_u64()
    }

    pub(crate) async fn report(&mut self) -> Value {
        self.driven.call(json!({ "cmd": "report" })).await
    }

    /// Waits until `condition` holds for the report, and returns that.
    pub(crate) async fn until(&mut self, what: &str, mut condition: impl FnMut(&Value) -> bool) -> Value {
        let end = Instant::now() + DEADLINE;
        loop {
            let report = self.report().await;
            if condition(&report) {
                return report;
            }
            if Instant::now() > end {
                let stderr = self.driven.process().stderr();
                panic!("{what}: not within {DEADLINE:?}: {report}\nits standard error:\n{stderr}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until no client is connected, and checks that nothing is left of the former ones.
    pub(crate) async fn expect_empty(&mut self) {
        let is_empty = |report: &Value| ["sessions", "clients", "rooms"].iter().all(|&name| report[name] == 0);
        self.until("sessions, clients and rooms are gone", is_empty).await;
    }

    /// Kills the server: it says no word to anybody.
    pub(crate) async fn kill(mut self) {
        self.driven.process().signal("KILL");
        self.driven.process().wait(DEADLINE).await;
    }

    /// Stops the server, and returns how many of its tasks have not ended.
    pub(crate) async fn stop(mut self) -> u64 {
        self.driven.process().close_stdin();
        let ended = self.driven.until(DEADLINE, |event| event["event"] == "ended").await;
        ended["tasks"].as_u64().unwrap()
    }
}
