//! A server of ours in a process of its own.

use std::net::SocketAddr;

use integration::DEADLINE;
use integration::app::Load;
use integration::driven::Driven;
use serde_json::{Value, json};
use tokio::process::Command;

/// `sio-test-node`. Dropping it kills it.
pub(crate) struct Node {
    driven: Driven,
    pub(crate) address: SocketAddr,
}

impl Node {
    pub(crate) async fn start(url: &str, channel: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sio-test-node"));
        command.args([url, channel]);
        let mut driven = Driven::program("a server", command);
        let listening = driven.until(DEADLINE, |event| event["event"] == "listening").await;
        let port = listening["port"].as_u64().unwrap().try_into().unwrap();
        Self {
            driven,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    /// Has the server emit to `room`; returns how many events were accepted and failed, and the first error.
    pub(crate) async fn emit(&mut self, room: &str, load: &Load) -> Value {
        self.driven
            .call(json!({
                "cmd": "emit", "room": room, "origin": load.origin, "count": load.count, "in_flight": load.in_flight,
                "padding": load.padding,
            }))
            .await
    }

    pub(crate) async fn report(&mut self) -> Value {
        self.driven.call(json!({ "cmd": "report" })).await
    }

    /// Waits until nobody is connected, and checks that nothing is left of those who were.
    pub(crate) async fn expect_empty(&mut self) {
        let end = tokio::time::Instant::now() + DEADLINE;
        loop {
            let report = self.report().await;
            if report["sessions"] == 0 && report["clients"] == 0 && report["rooms"] == 0 {
                return;
            }
            assert!(tokio::time::Instant::now() < end, "still there: {report}");
        }
    }
}
