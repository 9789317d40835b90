//! A program of `examples`, as a process.

use integration::process::Process;
use integration::{DEADLINE, tools};
use tokio::process::Command;

/// A program of `examples`. Dropping it kills it.
pub(crate) struct Program {
    pub(crate) process: Process,
    /// Its listener: an address, or a path.
    pub(crate) address: String,
}

impl Program {
    /// Starts a program on a free port.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, &["127.0.0.1:0"], &[]).await
    }

    /// Starts a program, and waits until it listens.
    pub(crate) async fn start_with(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(tools::example(name));
        command.args(arguments).envs(variables.iter().copied());
        let mut process = Process::spawn(name, command);
        let line = process
            .expect_line(DEADLINE, |line| line.starts_with("listening on "))
            .await;
        let address = line["listening on ".len()..].to_owned();
        Self { process, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid().expect("the program runs")
    }

    /// Sends SIGTERM, as a service manager does, and waits for its end.
    pub(crate) async fn stop(mut self) {
        self.process.signal("TERM");
        let status = self.process.wait(DEADLINE).await;
        assert!(status.success(), "{status}: {}", self.process.stderr());
    }
}
