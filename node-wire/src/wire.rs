//! The wires of Node's adapters, as values.

use std::sync::Arc;

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

    /// Sets the limits of the process.
    #[must_use]
    pub fn limits(mut self, limits: NodeLimits) -> Self {
        self.plan.limits = limits;
        self
    }

    fn of(adapter: Adapter) -> Self {
        Self {
            plan: Plan::new(adapter),
        }
    }
}

impl Wire for NodeWire {
    fn check(&self, manager: &dyn ClientManager) -> Result<(), Error> {
        if manager.topics().is_none() {
            let text = "the wires of Node's adapters need a broker with topics: Redis";
            return Err(Error::new(ErrorKind::Config, text));
        }
        Ok(())
    }

    fn open(&self, manager: Arc<dyn ClientManager>, process: Process) -> Result<Arc<dyn Messenger>, Error> {
        self.check(&*manager)?;
        Ok(Arc::new(NodeMessenger::new(manager, process, self.plan.clone())))
    }
}
