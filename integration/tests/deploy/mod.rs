//! What `docs/deploy.md` says: each program of `examples`, nginx and HAProxy with the very files of `docs`,
//! through real clients.

mod front;
mod haproxy;
mod nginx;
mod polling;
mod programs;
mod proxied;

use std::time::Duration;

use integration::client::{ConnectOptions, RealClient};
use integration::process::Process;
use integration::{DEADLINE, tools};
use serde_json::json;
use tokio::process::Command;

/// A program of `examples`. Dropping it kills it.
struct Program {
    process: Process,
    /// Where it listens: an address, or a path.
    address: String,
}

impl Program {
    /// Starts a program on a free port.
    async fn start(name: &str) -> Self {
        Self::start_with(name, &["127.0.0.1:0"], &[]).await
    }

    /// Starts a program, and waits until it listens.
    async fn start_with(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(tools::example(name));
        command.args(arguments).envs(variables.iter().copied());
        let mut process = Process::spawn(name, command);
        let line = process
            .expect_line(DEADLINE, |line| line.starts_with("listening on "))
            .await;
        let address = line["listening on ".len()..].to_owned();
        Self { process, address }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn pid(&self) -> u32 {
        self.process.pid().expect("the program runs")
    }

    /// Asks it to end, as a service manager does, and waits until it has.
    async fn stop(mut self) {
        self.process.signal("TERM");
        let status = self.process.wait(DEADLINE).await;
        assert!(status.success(), "{status}: {}", self.process.stderr());
    }
}

/// The client gets its own words back.
async fn echoes(client: &mut RealClient) {
    let answer = client.emit_with_ack("echo", json!(["hello", 7]), DEADLINE).await;
    assert_eq!(answer, Some(vec![json!("hello"), json!(7)]));
}

/// Returns the number of the process that the client's server runs in.
async fn who(client: &mut RealClient) -> u32 {
    let answer = client.emit_with_ack("who", json!([]), DEADLINE).await;
    let pid = answer.expect("an answer")[0].as_u64().expect("a number");
    pid.try_into().expect("the number of a process")
}

/// Connects by polling, goes on over a WebSocket, and talks on both.
async fn polls_and_upgrades(client: &mut RealClient, url: &str) {
    client.connect(&ConnectOptions::to(url)).await.expect("accepted");
    echoes(client).await;
    client.upgraded_to("websocket").await;
    echoes(client).await;
}

/// For programs that end with their clients: longer than any of them is given.
const GOODBYE: Duration = DEADLINE;
