//! Clients of other implementations, socket.io-client and python-socketio, behind one set of methods.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::driven::Driven;
use crate::{DEADLINE, tools};

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// socket.io-client on Node.js, the reference.
    Node,
    /// The same of 2022, version 4.5.
    Node45,
    /// The file that browsers load of socket.io-client, in a page of Chromium.
    Browser,
    /// `socketio.AsyncClient` of python-socketio.
    Python,
}

impl Kind {
    /// One of each implementation, for tests that hold for all.
    pub const ALL: [Self; 2] = [Self::Node, Self::Python];
}

/// Options of a connect, created by [`ConnectOptions::to`].
#[derive(Clone, Debug, Serialize)]
pub struct ConnectOptions {
    /// The server, as `http://127.0.0.1:port`.
    pub url: String,
    /// The namespace; default `/`.
    pub namespace: String,
    /// Further namespaces, joined over the same connection; default none.
    pub namespaces: Vec<String>,
    /// The payload of the CONNECT packet; default none.
    pub auth: Option<Value>,
    /// The transports, in order; default `polling` with an upgrade to `websocket`.
    pub transports: Option<Vec<&'static str>>,
    /// The path; default `/socket.io/`.
    pub path: String,
    /// Headers of the requests; default none.
    pub headers: BTreeMap<String, String>,
    /// Whether the client reconnects after a loss, within fractions of a second; default no.
    pub reconnect: bool,
    /// The parser: `msgpack`; default the one that all have. In a [browser](Kind::Browser) the first connection decides.
    pub parser: Option<&'static str>,
    /// The option `query` of clients in JavaScript; default none.
    pub query: Option<Value>,
    /// `withCredentials` of clients in JavaScript; default no.
    pub with_credentials: bool,
    /// The page that a [browser](Kind::Browser) comes from, which need not exist; default one of the server's own origin.
    pub page: Option<String>,
}

impl ConnectOptions {
    /// Returns the defaults for the server at `url`.
    #[must_use]
    pub fn to(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            namespace: "/".to_owned(),
            namespaces: Vec::new(),
            auth: None,
            transports: None,
            path: "/socket.io/".to_owned(),
            headers: BTreeMap::new(),
            reconnect: false,
            parser: None,
            query: None,
            with_credentials: false,
            page: None,
        }
    }

    /// Returns the same with only one transport.
    #[must_use]
    pub fn only(mut self, transport: &'static str) -> Self {
        self.transports = Some(vec![transport]);
        self
    }
}

/// A report of a client.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ClientEvent {
    /// The server accepted the namespace (again, after a reconnect).
    Connect {
        /// The namespace.
        namespace: String,
        /// The public socket id.
        sid: String,
    },
    /// The server refused the namespace, or could not be reached.
    ConnectError {
        /// The namespace.
        namespace: String,
        /// The message of the server, or of the client itself.
        message: String,
        /// The data of the server.
        data: Value,
    },
    /// The socket is gone.
    Disconnect {
        /// The namespace.
        namespace: String,
        /// Why, in the client's own words; each client has others.
        reason: Option<String>,
    },
    /// An event from the server.
    Message(Message),
    /// The acknowledgement of an emit that requested one.
    Ack {
        /// The namespace.
        namespace: String,
        /// The number given with the emit.
        id: u64,
        /// The acknowledgement; `None` if it did not arrive in time.
        args: Option<Vec<Value>>,
    },
    /// The transport in use, on request or after an upgrade.
    Transport {
        /// The namespace.
        namespace: String,
        /// `polling` or `websocket`.
        name: String,
    },
}

/// An event from the server.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Message {
    /// The namespace.
    pub namespace: String,
    /// The event's name.
    pub name: String,
    /// Its arguments; bytes are as [`binary`](crate::driven::binary) writes them.
    pub args: Vec<Value>,
    /// Set if the server requests an acknowledgement: pass it to [`RealClient::ack`].
    pub ack: Option<u64>,
}

/// A refused connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The message of the server, or of the client itself.
    pub message: String,
    /// The data of the server; null if there is none.
    pub data: Value,
}

/// A running client. Dropping it kills it.
#[derive(Debug)]
pub struct RealClient {
    driven: Driven,
    namespace: String,
    acks: u64,
}

impl RealClient {
    /// Starts a client, which is connected to nothing yet.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub async fn spawn(kind: Kind) -> Self {
        Self::over(match kind {
            Kind::Node => Driven::node("client.js", &[]),
            Kind::Node45 => Driven::node("client.js", &["socket.io-client-4.5"]),
            Kind::Browser => Driven::node("browser.js", &[&tools::chromium()]),
            Kind::Python => Driven::python("client.py", &[]),
        })
        .await
    }

    /// Starts a client on Node.js that trusts the certificates of an authority, given as a PEM file.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub async fn spawn_trusting(authority: &Path) -> Self {
        let authority = authority.to_str().expect("the file's name is text");
        Self::over(Driven::node_with(
            "client.js",
            &[],
            &[("NODE_EXTRA_CA_CERTS", authority)],
        ))
        .await
    }

    async fn over(mut driven: Driven) -> Self {
        driven.until(DEADLINE, |event| event["event"] == "ready").await;
        Self {
            driven,
            namespace: "/".to_owned(),
            acks: 0,
        }
    }

    /// Starts a client and connects it.
    ///
    /// # Panics
    ///
    /// When it cannot be started or is refused.
    pub async fn connected(kind: Kind, options: &ConnectOptions) -> Self {
        let mut client = Self::spawn(kind).await;
        if let Err(refusal) = client.connect(options).await {
            panic!("the {kind:?} client was refused: {refusal:?}");
        }
        client
    }

    /// Connects, and returns the socket id. Later commands go to the namespace connected last, not to the
    /// [further ones](ConnectOptions::namespaces), whose events are there to be waited for.
    ///
    /// # Errors
    ///
    /// The server's refusal.
    ///
    /// # Panics
    ///
    /// When neither comes within [`DEADLINE`].
    pub async fn connect(&mut self, options: &ConnectOptions) -> Result<String, Refusal> {
        self.namespace.clone_from(&options.namespace);
        let mut command = json!(options);
        command["cmd"] = json!("connect");
        self.driven.send(&command).await;
        let answers = |event: &Value| event["event"] == "connect" || event["event"] == "connect_error";
        let mut event = self
            .driven
            .until(DEADLINE, |event| {
                answers(event) && event["namespace"] == options.namespace.as_str()
            })
            .await;
        match event["sid"].as_str() {
            Some(sid) => Ok(sid.to_owned()),
            None => Err(Refusal {
                message: event["message"].as_str().unwrap_or_default().to_owned(),
                data: event["data"].take(),
            }),
        }
    }

    /// Sends later commands to `namespace`, which is connected.
    pub fn switch_to(&mut self, namespace: &str) {
        namespace.clone_into(&mut self.namespace);
    }

    /// Emits; `args` is a JSON array of the arguments.
    pub async fn emit(&mut self, name: &str, args: Value) {
        self.command(json!({ "cmd": "emit", "name": name, "args": args })).await;
    }

    /// Emits and returns the acknowledgement, or `None` if it does not arrive in time.
    pub async fn emit_with_ack(&mut self, name: &str, args: Value, deadline: Duration) -> Option<Vec<Value>> {
        self.acks += 1;
        let id = self.acks;
        let milliseconds = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.command(json!({ "cmd": "emit", "name": name, "args": args, "ack": id, "timeout": milliseconds }))
            .await;
        let patience = deadline + DEADLINE; // the client itself watches the deadline
        let answer = self
            .driven
            .until(patience, |event| event["event"] == "ack" && event["id"] == id)
            .await;
        answer["args"].as_array().cloned()
    }

    /// Acknowledges a [`Message`] that requests it.
    pub async fn ack(&mut self, id: u64, args: Value) {
        self.command(json!({ "cmd": "ack", "id": id, "args": args })).await;
    }

    /// Returns the next event.
    ///
    /// # Panics
    ///
    /// When none comes in time.
    pub async fn next_event(&mut self, deadline: Duration) -> ClientEvent {
        parse(self.driven.next(deadline).await)
    }

    /// Returns the next event from the server, skipping what else the client reports.
    ///
    /// # Panics
    ///
    /// When none comes in time.
    pub async fn next_message(&mut self, deadline: Duration) -> Message {
        message(self.driven.until(deadline, |event| event["event"] == "message").await)
    }

    /// Returns every event from the server up to, and without, the first one called `last`: what proves that something
    /// was *not* delivered, when `last` was sent after it.
    ///
    /// # Panics
    ///
    /// When `last` does not come within [`DEADLINE`].
    pub async fn messages_before(&mut self, last: &str) -> Vec<Message> {
        let mut earlier = Vec::new();
        loop {
            let next = self.next_message(DEADLINE).await;
            if next.name == last {
                return earlier;
            }
            earlier.push(next);
        }
    }

    /// Disconnects the namespace connected last, and waits for the client to say so.
    pub async fn disconnect(&mut self) {
        self.command(json!({ "cmd": "disconnect" })).await;
        self.disconnected(DEADLINE).await;
    }

    /// Waits for the socket to go, and returns why in the client's own words.
    ///
    /// # Panics
    ///
    /// When it stays.
    pub async fn disconnected(&mut self, deadline: Duration) -> Option<String> {
        let namespace = self.namespace.clone();
        let gone = |event: &Value| event["event"] == "disconnect" && event["namespace"] == namespace.as_str();
        let event = self.driven.until(deadline, gone).await;
        event["reason"].as_str().map(str::to_owned)
    }

    /// Tears the transport down without a word, as a lost network does.
    pub async fn break_transport(&mut self) {
        self.command(json!({ "cmd": "break" })).await;
    }

    /// Waits until the client reports the transport `name`, which it does after an upgrade.
    ///
    /// # Panics
    ///
    /// When it does not within [`DEADLINE`].
    pub async fn upgraded_to(&mut self, name: &str) {
        self.driven
            .until(DEADLINE, |event| event["event"] == "transport" && event["name"] == name)
            .await;
    }

    /// Sends a command as `clients/README.md` has them, to the namespace connected last where it names none.
    pub async fn command(&mut self, mut command: Value) {
        if command["namespace"].is_null() {
            command["namespace"] = json!(self.namespace);
        }
        self.driven.send(&command).await;
    }

    /// Returns the script, for commands without a method here.
    pub fn driven(&mut self) -> &mut Driven {
        &mut self.driven
    }
}

fn message(event: Value) -> Message {
    match parse(event) {
        ClientEvent::Message(message) => message,
        other => unreachable!("only messages are taken, not {other:?}"),
    }
}

fn parse(event: Value) -> ClientEvent {
    let shown = event.to_string();
    serde_json::from_value(event).unwrap_or_else(|error| panic!("a client reported {shown}: {error}"))
}
