//! The wires of Node's adapters, as values.

use std::sync::Arc;
use std::time::Duration;

use manager_api::wire::{Messenger, Process, Wire};
use manager_api::{ClientManager, Error, ErrorKind};

use crate::limits::NodeLimits;
use crate::messenger::NodeMessenger;
use crate::plan::{Adapter, Plan};
use crate::rooms::SubscriptionMode;

/// The wire of a fleet of Socket.IO servers on Node, which depends on their adapter and its options.
///
/// [Emitters](manager_api::Emitter::with_wire) are never counted as servers, so that their coming and going does not
/// disturb the requests of the others. A server of ours is a full member: it receives events, responds to requests, and
/// is counted from its start to its end.
#[derive(Clone, Debug)]
pub struct NodeWire {
    plan: Plan,
}

impl NodeWire {
    /// Creates the wire of the classic adapter: `createAdapter` of `@socket.io/redis-adapter`.
    pub fn classic() -> Self {
        Self::of(Adapter::Classic)
    }

    /// Creates the wire of the sharded adapter: `createShardedAdapter` of `@socket.io/redis-adapter`. It needs Redis 7
    /// or later.
    pub fn sharded() -> Self {
        Self::of(Adapter::Sharded)
    }

    /// Creates the wire of the adapter for Redis Streams, `@socket.io/redis-streams-adapter`, since its version 0.3.
    pub fn streams() -> Self {
        Self::of(Adapter::Streams)
    }

    /// Creates the wire of the adapter for Redis Streams before its version 0.3, which sends requests and responses
    /// through the stream, too. Events, changes of rooms and disconnects are the same in both versions.
    pub fn streams_before_0_3() -> Self {
        Self::of(Adapter::OldStreams)
    }

    /// Creates the wire of the adapter for PostgreSQL, `@socket.io/postgres-adapter`. It needs a manager over PostgreSQL,
    /// whose schema need not be installed.
    pub fn postgres() -> Self {
        Self::of(Adapter::Postgres)
    }

    /// Sets the prefix of the channels: the option `key` of the classic adapter, `channelPrefix` of the others. Default
    /// `socket.io`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.plan.prefix = prefix.into();
        self
    }

    /// Sets the name of the stream, `streamName`. Default `socket.io`.
    #[must_use]
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.plan.stream = name.into();
        self
    }

    /// Sets the number of streams, `streamCount`. Default 1.
    ///
    /// With several, servers poll only those of the namespaces whose hash is not negative: see `docs/node.md`.
    #[must_use]
    pub fn stream_count(mut self, count: u32) -> Self {
        self.plan.stream_count = count;
        self
    }

    /// Sets the number of entries to which a stream is trimmed, approximately: `maxLen`. Default 10,000.
    #[must_use]
    pub fn stream_max_len(mut self, max_len: u64) -> Self {
        self.plan.stream_max_len = max_len;
        self
    }

    /// Uses sharded publish/subscribe for the requests beside the streams, `useShardedPubSub`. Default false.
    #[must_use]
    pub fn sharded_pub_sub(mut self, is_sharded: bool) -> Self {
        self.plan.has_sharded_requests = is_sharded;
        self
    }

    /// Sets which rooms have channels of their own with the sharded adapter, `subscriptionMode`. Default
    /// [`Dynamic`](SubscriptionMode::Dynamic), as of the adapter; the others have none.
    ///
    /// It concerns what a server of ours receives. What is sent reaches servers in every mode.
    #[must_use]
    pub fn subscription_mode(mut self, mode: SubscriptionMode) -> Self {
        self.plan.subscription_mode = mode;
        self
    }

    /// Sets the table of attachments, `tableName` of the adapter for PostgreSQL. Default `socket_io_attachments`.
    ///
    /// The name is read as the adapter's statements have it: what is not in quotes is in lower case, and a schema may
    /// stand before it.
    #[must_use]
    pub fn table(mut self, name: impl Into<Arc<str>>) -> Self {
        self.plan.table = name.into();
        self
    }

    /// Sets the age at which a server deletes attachments, its own and those of others: `cleanupInterval` of the adapter
    /// for PostgreSQL. Default 30 s; zero never deletes. Emitters delete none.
    #[must_use]
    pub fn cleanup_interval(mut self, interval: Duration) -> Self {
        self.plan.cleanup_interval = interval;
        self
    }

    /// Sets how long a process waits for the heartbeats that it has asked all servers for, before its first request about
    /// a namespace, with the adapter for PostgreSQL. Default 1 s.
    ///
    /// A server that takes longer is not waited for. Later requests wait for it, too: its heartbeats come every 5 s.
    #[must_use]
    pub fn discovery(mut self, time: Duration) -> Self {
        self.plan.discovery = time;
        self
    }

    /// Sets the limits of the process.
    #[must_use]
    pub fn limits(mut self, limits: NodeLimits) -> Self {
        self.plan.limits = limits;
        self
    }

    /// Returns whether the wire is for a database.
    pub(crate) fn needs_attachments(&self) -> bool {
        self.plan.adapter == Adapter::Postgres
    }

    fn of(adapter: Adapter) -> Self {
        Self {
            plan: Plan::new(adapter),
        }
    }
}

impl Wire for NodeWire {
    fn check(&self, manager: &dyn ClientManager) -> Result<(), Error> {
        let has_attachments = manager.topics().map(|topics| topics.attachments().is_some());
        match (has_attachments, self.needs_attachments()) {
            (Some(has), needs) if has == needs => Ok(()),
            (_, true) => Err(needed(
                "the wire of Node's adapter for PostgreSQL needs PostgreSQL as the broker",
            )),
            (_, false) => Err(needed(
                "the wires of Node's adapters for Redis need a broker with topics: Redis",
            )),
        }
    }

    fn open(&self, manager: Arc<dyn ClientManager>, process: Process) -> Result<Arc<dyn Messenger>, Error> {
        self.check(&*manager)?;
        Ok(Arc::new(NodeMessenger::new(manager, process, self.plan.clone())))
    }
}

fn needed(text: &str) -> Error {
    Error::new(ErrorKind::Config, text)
}
