//! A script of `integration/clients`: lines of JSON in, lines of JSON out.

use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;

use crate::process::Process;
use crate::{DEADLINE, tools};

/// A script that obeys commands and reports events, both of them JSON objects.
#[derive(Debug)]
pub struct Driven {
    process: Process,
    /// Events that came while another was waited for, in their order.
    pending: VecDeque<Value>,
    commands: u64,
}

impl Driven {
    /// Starts the Python script `name` with `arguments`.
    #[must_use]
    pub fn python(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(tools::python());
        command.arg("-B").arg(tools::script(name)).args(arguments); // -B: leaves no compiled files in the tree
        Self::program(name, command)
    }

    /// Starts the Node.js script `name` with `arguments`.
    #[must_use]
    pub fn node(name: &str, arguments: &[&str]) -> Self {
        Self::node_with(name, arguments, &[])
    }

    /// As [`node`](Self::node), with variables in its environment.
    #[must_use]
    pub fn node_with(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(tools::node());
        command
            .arg(tools::script(name))
            .args(arguments)
            .envs(variables.iter().copied());
        command.env("NODE_PATH", tools::node_modules());
        Self::program(name, command)
    }

    /// Starts a program with the protocol of the scripts; `name` is its name in failures.
    #[must_use]
    pub fn program(name: &str, command: Command) -> Self {
        Self {
            process: Process::spawn(name, command),
            pending: VecDeque::new(),
            commands: 0,
        }
    }

    /// Sends a command.
    ///
    /// # Panics
    ///
    /// When the script has ended.
    pub async fn send(&mut self, command: &Value) {
        self.process.send_line(&command.to_string()).await;
    }

    /// Sends a command that ends in an event `done`, and returns that event's `result`.
    ///
    /// # Panics
    ///
    /// When the command fails, or takes longer than [`DEADLINE`].
    pub async fn call(&mut self, mut command: Value) -> Value {
        self.commands += 1;
        let id = self.commands;
        command["id"] = json!(id);
        self.send(&command).await;
        let mut done = self
            .until(DEADLINE, |event| event["event"] == "done" && event["id"] == id)
            .await;
        done["result"].take()
    }

    /// Returns the next event.
    ///
    /// # Panics
    ///
    /// When none comes in time, or the script reports a failure of its own.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no event is lost.
    pub async fn next(&mut self, deadline: Duration) -> Value {
        match self.pending.pop_front() {
            Some(event) => event,
            None => self.read(deadline).await,
        }
    }

    /// Returns the first event for which `wanted` holds; those before it stay for [`next`](Self::next).
    ///
    /// # Panics
    ///
    /// As [`next`](Self::next).
    pub async fn until(&mut self, deadline: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(found) = self.pending.iter().position(&wanted) {
            return self.pending.remove(found).expect("the position was just found");
        }
        let end = Instant::now() + deadline;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (name, seen) = (self.process.name(), &self.pending);
                panic!("{name} did not report what was expected within {deadline:?}, but {seen:?}");
            }
            let event = self.read(left).await;
            if wanted(&event) {
                return event;
            }
            self.pending.push_back(event);
        }
    }

    /// Returns the process, to signal it or to see it end.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    async fn read(&mut self, deadline: Duration) -> Value {
        let Some(line) = self.process.next_line(deadline).await else {
            panic!("{} ended{}", self.process.name(), self.process.complaints());
        };
        let name = self.process.name();
        let event: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{name} printed no JSON ({error}): {line}"));
        assert!(
            event["event"] != "failure",
            "{name} failed: {}{}",
            event["error"],
            self.process.complaints()
        );
        event
    }
}

/// Returns how scripts write the given bytes.
#[must_use]
pub fn binary(bytes: &[u8]) -> Value {
    json!({ "$bin": STANDARD.encode(bytes) })
}
