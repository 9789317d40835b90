//! Servers and emitters of Node.js: socket.io with an adapter over Redis or PostgreSQL, each in a
//! process of its own.

mod adapter;
mod ours;
mod target;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::DEADLINE;
use crate::driven::Driven;

pub use adapter::{NodeAdapter, attachments};
pub use ours::{ours, wire};
pub use target::Target;

/// Between two requests of a server for the same, which keep it from its work.
const PAUSE: Duration = Duration::from_millis(5);

/// Options of the adapter of a [`NodeServer`], created by [`NodeOptions::on`].
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// What the names of channels and streams begin with.
    pub prefix: String,
    /// `streamCount`: the streams that namespaces are spread over; default 1.
    /// [`NodeAdapter::Streams`] only.
    pub stream_count: Option<u32>,
    /// `useShardedPubSub`; default no. [`NodeAdapter::Streams`] only.
    pub use_sharded_pub_sub: bool,
    /// Whether the server outlives promises that its adapter leaves without a handler, as those of a publish that the end
    /// of a connection rejects; default no.
    pub outlives_rejections: bool,
    /// Further options, by the names that the adapter has for them; default none.
    pub more: Value,
}

impl NodeOptions {
    /// Returns the defaults with a prefix.
    #[must_use]
    pub fn on(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            stream_count: None,
            use_sharded_pub_sub: false,
            outlives_rejections: false,
            more: json!({}),
        }
    }

    fn to_json(&self) -> Value {
        let mut options = self.more.clone();
        if let Some(count) = self.stream_count {
            options["streamCount"] = json!(count);
        }
        if self.use_sharded_pub_sub {
            options["useShardedPubSub"] = json!(true);
        }
        options
    }
}

/// What came back to a request for acknowledgements.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct NodeResponses {
    /// The responses that came in time: of each client or server its first argument.
    pub responses: Vec<Value>,
    /// The error, if some did not come, in the words of the library.
    pub error: Option<String>,
}

/// A client as `fetchSockets` describes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct NodeSocket {
    /// The socket id.
    pub id: String,
    /// Its rooms, its own included.
    pub rooms: Vec<String>,
    /// `socket.data`.
    pub data: Value,
    /// `socket.handshake`.
    pub handshake: Value,
}

/// An event between servers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct NodeServerEvent {
    /// The namespace.
    pub namespace: String,
    /// `hey`, or `ask`, to which the server has responded.
    pub name: String,
    /// Its arguments; bytes are as [`binary`](crate::driven::binary) writes them.
    pub args: Vec<Value>,
}

/// What came of one of each request of a server to the others, all sent at the same time.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct NodeRequests {
    /// The number of servers that were counted right before, its own included.
    pub counted: u64,
    /// The outcomes, by the names that the library has for the requests.
    pub outcomes: BTreeMap<String, NodeOutcome>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeOutcome {
    /// All responses, in the library's opinion; of `fetchSockets` the ids of clients.
    Responses(Vec<Value>),
    /// The error, in the words of the library.
    Error(String),
}

/// An unmodified server of socket.io with the namespaces `/` and `/chat`. Dropping it kills it.
#[derive(Debug)]
pub struct NodeServer {
    driven: Driven,
    url: String,
}

impl NodeServer {
    /// Starts a server over the broker at `url` (`redis://…`, `redis+cluster://` with its nodes, or
    /// `postgres://…`); returns once it accepts clients and receives what others publish.
    ///
    /// # Panics
    ///
    /// When that takes longer than [`DEADLINE`].
    pub async fn start(adapter: NodeAdapter, url: &str, options: &NodeOptions) -> Self {
        let adapter_options = options.to_json().to_string();
        let arguments = [adapter.name(), url, &options.prefix, &adapter_options];
        let variables: &[_] = match options.outlives_rejections {
            true => &[("NODE_OPTIONS", "--unhandled-rejections=warn")],
            false => &[],
        };
        let mut driven = Driven::node_with("node_server.js", &arguments, variables);
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

    /// Emits `name` with the JSON array `args`.
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call).
    pub async fn emit(&mut self, target: &Target, name: &str, args: Value) {
        let fields = json!({ "name": name, "args": args });
        self.call(target.command("emit", fields)).await;
    }

    /// Emits and collects acknowledgements.
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call).
    pub async fn emit_with_ack(
        &mut self,
        target: &Target,
        name: &str,
        args: Value,
        timeout: Duration,
    ) -> NodeResponses {
        let fields = json!({ "name": name, "args": args, "timeout": timeout.as_millis() });
        parse(self.call(target.command("emit_with_ack", fields)).await)
    }

    /// Returns the clients of all servers.
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call), also when a server does not respond.
    pub async fn fetch_sockets(&mut self, target: &Target) -> Vec<NodeSocket> {
        parse(self.call(target.command("fetch_sockets", json!({}))).await)
    }

    /// Puts clients into rooms.
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call).
    pub async fn sockets_join(&mut self, target: &Target, rooms: &[&str]) {
        self.call(target.command("sockets_join", json!({ "join": rooms })))
            .await;
    }

    /// Removes clients from rooms.
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call).
    pub async fn sockets_leave(&mut self, target: &Target, rooms: &[&str]) {
        self.call(target.command("sockets_leave", json!({ "leave": rooms })))
            .await;
    }

    /// Disconnects clients; with `close` their connections, too.
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call).
    pub async fn disconnect_sockets(&mut self, target: &Target, close: bool) {
        self.call(target.command("disconnect_sockets", json!({ "close": close })))
            .await;
    }

    /// Sends an event to the other servers. Those of this script listen to `hey`, `ask` and
    /// `silent`.
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call).
    pub async fn server_side_emit(&mut self, namespace: &str, name: &str, args: Value) {
        let fields = json!({ "name": name, "args": args });
        self.call(Target::all(namespace).command("server_side_emit", fields))
            .await;
    }

    /// The same with acknowledgements: `ask` responds with its first argument, `silent` never.
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call).
    pub async fn server_side_emit_with_ack(&mut self, namespace: &str, name: &str, args: Value) -> NodeResponses {
        let fields = json!({ "name": name, "args": args });
        let command = Target::all(namespace).command("server_side_emit_with_ack", fields);
        parse(self.call(command).await)
    }

    /// Sends one of each request: `fetchSockets`, `serverSideEmitWithAck` (`ask`), and `emitWithAck` (`question`) to all
    /// clients.
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call).
    pub async fn requests(&mut self, namespace: &str, timeout: Duration) -> NodeRequests {
        let fields = json!({ "timeout": timeout.as_millis() });
        parse(self.call(Target::all(namespace).command("requests", fields)).await)
    }

    /// Returns the number of servers that this one knows of, itself included.
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call).
    pub async fn server_count(&mut self, namespace: &str) -> u64 {
        parse(
            self.call(Target::all(namespace).command("server_count", json!({})))
                .await,
        )
    }

    /// Waits until this server knows of `count` servers, itself included.
    ///
    /// # Panics
    ///
    /// When it does not within [`DEADLINE`].
    pub async fn until_server_count(&mut self, namespace: &str, count: u64) {
        let end = Instant::now() + DEADLINE;
        loop {
            let counted = self.server_count(namespace).await;
            if counted == count {
                return;
            }
            assert!(
                Instant::now() < end,
                "{count} servers of {namespace}: {counted} after {DEADLINE:?}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns the next event of another server.
    ///
    /// # Panics
    ///
    /// When none comes in time.
    pub async fn server_event(&mut self, deadline: Duration) -> NodeServerEvent {
        parse(
            self.driven
                .until(deadline, |event| event["event"] == "server_side")
                .await,
        )
    }

    /// Carries out a command of `clients/README.md` and returns its result.
    ///
    /// # Panics
    ///
    /// When the server reports an error, or takes longer than [`DEADLINE`].
    pub async fn call(&mut self, command: Value) -> Value {
        self.driven.call(command).await
    }

    /// Returns the script, for commands and events without a method here.
    pub fn driven(&mut self) -> &mut Driven {
        &mut self.driven
    }
}

/// `@socket.io/redis-emitter` in a process of its own. Dropping it kills it.
#[derive(Debug)]
pub struct NodeEmitter {
    driven: Driven,
}

impl NodeEmitter {
    /// Starts an emitter.
    ///
    /// # Panics
    ///
    /// When that takes longer than [`DEADLINE`].
    pub async fn start(redis_url: &str, prefix: &str) -> Self {
        let mut driven = Driven::node("node_emitter.js", &[redis_url, prefix]);
        driven.until(DEADLINE, |event| event["event"] == "ready").await;
        Self { driven }
    }

    /// Emits `name` with the JSON array `args`; returns once Redis has the message.
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call).
    pub async fn emit(&mut self, target: &Target, name: &str, args: Value) {
        let fields = json!({ "name": name, "args": args });
        self.call(target.command("emit", fields)).await;
    }

    /// Carries out a command of `clients/README.md`.
    ///
    /// # Panics
    ///
    /// When the emitter reports an error, or takes longer than [`DEADLINE`].
    pub async fn call(&mut self, command: Value) -> Value {
        self.driven.call(command).await
    }
}

fn parse<T: serde::de::DeserializeOwned>(result: Value) -> T {
    let shown = result.to_string();
    serde_json::from_value(result).unwrap_or_else(|error| panic!("a server of Node.js returned {shown}: {error}"))
}
