//! python-socketio's other half: its server and its write-only manager, each in a process of its own.

use std::time::Duration;

use serde_json::{Value, json};

use crate::DEADLINE;
use crate::driven::Driven;

/// A python-socketio server with an `AsyncRedisManager`. Dropping it kills it.
#[derive(Debug)]
pub struct PyServer {
    driven: Driven,
    url: String,
}

impl PyServer {
    /// Starts a server; returns once it accepts clients and Redis has confirmed its subscription.
    ///
    /// # Panics
    ///
    /// When that takes longer than [`DEADLINE`].
    pub async fn start(redis_url: &str, channel: &str) -> Self {
        let mut driven = Driven::python("py_server.py", &[redis_url, channel]);
        let listening = driven.until(DEADLINE, |event| event["event"] == "listening").await;
        Self {
            driven,
            url: format!("http://127.0.0.1:{}", listening["port"]),
        }
    }

    /// Returns where clients connect.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Emits `name` with the JSON array `args`, to `room` or to everybody.
    ///
    /// # Panics
    ///
    /// When the server reports an error.
    pub async fn emit(&mut self, name: &str, args: Value, room: Option<&str>) {
        self.call(json!({ "cmd": "emit", "name": name, "args": args, "room": room }))
            .await;
    }

    /// Carries out a command of `clients/README.md` and returns its result.
    ///
    /// # Panics
    ///
    /// When the server reports an error.
    pub async fn call(&mut self, command: Value) -> Value {
        self.driven.call(command).await
    }

    /// Returns the first event for which `wanted` holds; those before it stay.
    ///
    /// # Panics
    ///
    /// When none comes in time.
    pub async fn until(&mut self, deadline: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        self.driven.until(deadline, wanted).await
    }

    /// Returns the script, for what has no method here.
    pub fn driven(&mut self) -> &mut Driven {
        &mut self.driven
    }
}

/// A python-socketio `RedisManager(write_only=True)`, as a worker holds it. Dropping it kills it.
#[derive(Debug)]
pub struct PyEmitter {
    driven: Driven,
}

impl PyEmitter {
    /// Starts an emitter.
    ///
    /// # Panics
    ///
    /// When that takes longer than [`DEADLINE`].
    pub async fn start(redis_url: &str, channel: &str) -> Self {
        let mut driven = Driven::python("py_emit.py", &[redis_url, channel]);
        driven.until(DEADLINE, |event| event["event"] == "ready").await;
        Self { driven }
    }

    /// Emits `name` with the JSON array `args`, to `room` or to everybody.
    ///
    /// # Panics
    ///
    /// When the emitter reports an error.
    pub async fn emit(&mut self, name: &str, args: Value, room: Option<&str>) {
        self.call(json!({ "cmd": "emit", "name": name, "args": args, "room": room }))
            .await;
    }

    /// Carries out a command of `clients/README.md` and returns its result.
    ///
    /// # Panics
    ///
    /// When the emitter reports an error.
    pub async fn call(&mut self, command: Value) -> Value {
        self.driven.call(command).await
    }
}
