//! A fleet: two servers of Node.js on one broker, a client of each, and an emitter of ours.

use std::time::Duration;

use integration::brokers::unique_channel;
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::node::{NodeAdapter, NodeOptions, NodeServer};
use integration::{DEADLINE, managers};
use manager_api::Emitter;
use serde_json::{Value, json};
use siokit::node::NodeWire;

/// The adapter of the servers, with the options of it that the wire depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Classic,
    /// With `publishOnSpecificResponseChannel`.
    ClassicSpecific,
    Sharded,
    Streams,
    /// With `useShardedPubSub`.
    StreamsSharded,
    /// With a `streamCount` of 2.
    StreamsTwo,
    /// Before version 0.3.
    StreamsOld,
    Postgres,
}

impl Wire {
    pub(super) const ALL: [Self; 8] = [
        Self::Classic,
        Self::ClassicSpecific,
        Self::Sharded,
        Self::Streams,
        Self::StreamsSharded,
        Self::StreamsTwo,
        Self::StreamsOld,
        Self::Postgres,
    ];

    pub(super) fn adapter(self) -> NodeAdapter {
        match self {
            Self::Classic => NodeAdapter::Classic,
            Self::ClassicSpecific => NodeAdapter::ClassicSpecific,
            Self::Sharded => NodeAdapter::Sharded,
            Self::Streams | Self::StreamsSharded | Self::StreamsTwo => NodeAdapter::Streams,
            Self::StreamsOld => NodeAdapter::Streams02,
            Self::Postgres => NodeAdapter::Postgres,
        }
    }

    fn options(self, prefix: &str) -> NodeOptions {
        NodeOptions {
            use_sharded_pub_sub: self == Self::StreamsSharded,
            stream_count: (self == Self::StreamsTwo).then_some(2),
            ..NodeOptions::on(prefix)
        }
    }

    /// Returns whether servers on Node hand on events in their order. With PostgreSQL they read each attachment by itself,
    /// and events behind it may overtake it.
    pub(super) fn keeps_order(self) -> bool {
        self != Self::Postgres
    }

    /// That of an emitter.
    fn wire(self, prefix: &str) -> NodeWire {
        let wire = match self {
            Self::Classic | Self::ClassicSpecific => NodeWire::classic(),
            Self::Sharded => NodeWire::sharded(),
            Self::Streams => NodeWire::streams(),
            Self::StreamsSharded => NodeWire::streams().sharded_pub_sub(true),
            Self::StreamsTwo => NodeWire::streams().stream_count(2),
            Self::StreamsOld => NodeWire::streams_before_0_3(),
            // A machine may be busy.
            Self::Postgres => NodeWire::postgres().discovery(Duration::from_secs(3)),
        };
        wire.prefix(prefix).stream(prefix)
    }
}

/// Two servers, a client of each in `/` and `/chat`, and an emitter.
pub(super) struct Fleet {
    pub(super) servers: [NodeServer; 2],
    pub(super) clients: [RealClient; 2],
    /// The ids of the clients in `/`.
    pub(super) ids: [String; 2],
    pub(super) emitter: Emitter,
    pub(super) url: String,
    pub(super) prefix: String,
    pub(super) wire: Wire,
}

impl Fleet {
    /// Starts a fleet on the broker that all tests share.
    pub(super) async fn start(wire: Wire) -> Self {
        Self::start_on(wire.adapter().shared_url().await, wire).await
    }

    pub(super) async fn start_on(url: &str, wire: Wire) -> Self {
        let (url, prefix) = (url.to_owned(), unique_channel());
        let options = wire.options(&prefix);
        let server = || NodeServer::start(wire.adapter(), &url, &options);
        let (one, two) = tokio::join!(server(), server());
        let ((ada, ada_id), (bob, bob_id)) = tokio::join!(connected(&one), connected(&two));
        let mut fleet = Self {
            servers: [one, two],
            clients: [ada, bob],
            ids: [ada_id, bob_id],
            emitter: emitter_on(&url, wire, &prefix),
            url: url.clone(),
            prefix,
            wire,
        };
        for server in &mut fleet.servers {
            server.until_server_count("/", 2).await;
        }
        fleet
    }

    /// A further emitter, in a process of its own as far as the servers can tell.
    pub(super) fn another_emitter(&self) -> Emitter {
        emitter_on(&self.url, self.wire, &self.prefix)
    }

    /// Puts a client into rooms of `/`, by the number of its server.
    pub(super) async fn join(&mut self, client: usize, rooms: &[Value]) {
        for room in rooms {
            let joined = self.clients[client]
                .emit_with_ack("join", json!([room]), DEADLINE)
                .await;
            assert_eq!(joined, Some(vec![json!(true)]));
        }
    }

    /// Emits `end` to every client of `/`, and returns the names of the events that each client got before.
    pub(super) async fn events(&mut self) -> [Vec<String>; 2] {
        self.emitter.emit("end", &()).await.unwrap();
        let [ada, bob] = &mut self.clients;
        [names_before_end(ada).await, names_before_end(bob).await]
    }
}

/// An emitter for servers with that prefix.
pub(super) fn emitter_on(url: &str, wire: Wire, prefix: &str) -> Emitter {
    Emitter::with_wire(managers::on_channel(url, "unused"), &wire.wire(prefix)).unwrap()
}

async fn connected(server: &NodeServer) -> (RealClient, String) {
    let mut options = ConnectOptions::to(server.url()).only("websocket");
    options.namespaces = vec!["/chat".to_owned()];
    let mut client = RealClient::spawn(Kind::Node).await;
    let id = client.connect(&options).await.unwrap();
    let is_chat = |event: &Value| event["event"] == "connect" && event["namespace"] == "/chat";
    client.driven().until(DEADLINE, is_chat).await;
    (client, id)
}

async fn names_before_end(client: &mut RealClient) -> Vec<String> {
    let earlier = client.messages_before("end").await;
    earlier.into_iter().map(|message| message.name).collect()
}
