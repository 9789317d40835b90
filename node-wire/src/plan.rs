//! The topics of each wire: where a message goes, where its responses come from, and whose subscribers are the servers.

use std::sync::Arc;
use std::time::Duration;

use manager_api::NamespaceName;
use manager_api::topics::{Interest, Stream, Topic};

use crate::heartbeats;
use crate::limits::NodeLimits;
use crate::notices;
use crate::outgoing::{Kind, Outgoing, rooms_of};
use crate::rooms::SubscriptionMode;

/// The adapter that the servers of a fleet use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adapter {
    Classic,
    Sharded,
    Streams,
    /// The adapter for streams before its version 0.3, which uses the stream for everything.
    OldStreams,
    /// The adapter for PostgreSQL, whose notifications are for everything.
    Postgres,
}

impl Adapter {
    /// Returns whether servers are known by their heartbeats only, and all that is about a namespace comes by one way.
    pub(crate) fn has_heartbeats(self) -> bool {
        matches!(self, Self::OldStreams | Self::Postgres)
    }
}

/// What of a namespace a subscription reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Responses to this process.
    Responses,
    /// All of it: the process is a server of the namespace.
    Everything,
    /// All of it except responses, which another subscription reads.
    Requests,
    /// What expects a response of this server, which closes.
    Retiring,
}

impl Reads {
    /// Returns whether responses to this process are read.
    pub(crate) fn has_responses(self) -> bool {
        matches!(self, Self::Responses | Self::Everything)
    }

    /// Returns whether what is for the servers of the namespace is read.
    pub(crate) fn is_member(self) -> bool {
        matches!(self, Self::Everything | Self::Requests)
    }
}

/// The names of the topics, which all processes of a fleet must agree on.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) adapter: Adapter,
    /// The `key` of the classic adapter, the `channelPrefix` of the others.
    pub(crate) prefix: String,
    pub(crate) stream: String,
    pub(crate) stream_count: u32,
    pub(crate) stream_max_len: u64,
    /// Whether the adapter for streams uses sharded publish/subscribe for requests.
    pub(crate) has_sharded_requests: bool,
    /// Which rooms have channels of their own, with the sharded adapter.
    pub(crate) subscription_mode: SubscriptionMode,
    /// The table of attachments, with the adapter for PostgreSQL.
    pub(crate) table: Arc<str>,
    /// The age at which attachments are deleted; zero never does.
    pub(crate) cleanup_interval: Duration,
    /// The wait for the heartbeats of servers that were asked for them.
    pub(crate) discovery: Duration,
    pub(crate) limits: NodeLimits,
}

impl Plan {
    pub(crate) fn new(adapter: Adapter) -> Self {
        Self {
            adapter,
            prefix: "socket.io".to_owned(),
            stream: "socket.io".to_owned(),
            stream_count: 1,
            stream_max_len: 10_000,
            has_sharded_requests: false,
            subscription_mode: SubscriptionMode::Dynamic,
            table: notices::TABLE.into(),
            cleanup_interval: notices::CLEANUP,
            discovery: notices::DISCOVERY,
            limits: NodeLimits::default(),
        }
    }

    /// Returns the topic of a message for the classic adapter: one room has a topic of its own.
    pub(crate) fn classic_topic(&self, outgoing: &Outgoing) -> Topic {
        let (prefix, namespace) = (&self.prefix, &outgoing.namespace);
        match &outgoing.kind {
            Kind::Broadcast { emit, request: None } => Topic::new(match rooms_of(emit) {
                [room] => format!("{prefix}#{namespace}#{room}#", room = room.as_str()),
                _ => format!("{prefix}#{namespace}#"),
            }),
            _ => self.classic_requests(namespace),
        }
    }

    /// Returns the topic that every server of a namespace subscribes to.
    ///
    /// For sharded publish/subscribe there are further ones for rooms, which the servers use as an optimisation only,
    /// and which depend on their `subscriptionMode`.
    pub(crate) fn servers(&self, namespace: &NamespaceName) -> Topic {
        match self.adapter {
            Adapter::Classic => self.classic_requests(namespace),
            Adapter::Postgres => Topic::new(format!("{}#{namespace}", self.prefix)),
            Adapter::Sharded | Adapter::Streams | Adapter::OldStreams => {
                self.cluster_topic(format!("{}#{namespace}#", self.prefix))
            }
        }
    }

    /// Returns where responses to the process `uid` arrive.
    fn responses(&self, namespace: &NamespaceName, uid: &str) -> Vec<Interest> {
        let prefix = &self.prefix;
        match self.adapter {
            // Which of them depends on the servers' option `publishOnSpecificResponseChannel`.
            Adapter::Classic => ["", &format!("{uid}#")]
                .map(|end| Interest::Topic(Topic::new(format!("{prefix}-response#{namespace}#{end}"))))
                .into(),
            Adapter::OldStreams => vec![Interest::Stream {
                name: self.stream(namespace).name,
                past: heartbeats::TIMEOUT,
            }],
            Adapter::Postgres => vec![Interest::Topic(self.servers(namespace))],
            Adapter::Sharded | Adapter::Streams => vec![Interest::Topic(
                self.cluster_topic(format!("{prefix}#{namespace}#{uid}#")),
            )],
        }
    }

    /// Returns what a subscription that reads so is interested in.
    pub(crate) fn interests(&self, reads: Reads, namespace: &NamespaceName, uid: &str) -> Vec<Interest> {
        match reads {
            Reads::Responses => self.responses(namespace, uid),
            // The stream, or the topic, has both.
            Reads::Everything | Reads::Requests if self.adapter.has_heartbeats() => self.responses(namespace, uid),
            Reads::Requests => self.requests(namespace),
            Reads::Everything => [self.responses(namespace, uid), self.requests(namespace)].concat(),
            Reads::Retiring => self.retiring(namespace).into_iter().collect(),
        }
    }

    /// Returns what a server of a namespace receives in addition to responses.
    fn requests(&self, namespace: &NamespaceName) -> Vec<Interest> {
        let servers = Interest::Topic(self.servers(namespace));
        match self.adapter {
            Adapter::Classic => {
                let prefix = escaped(&format!("{}#{namespace}#", self.prefix));
                vec![Interest::Pattern(format!("{prefix}*").into()), servers]
            }
            Adapter::Sharded => vec![servers],
            Adapter::Streams => vec![
                servers,
                Interest::Stream {
                    name: self.stream(namespace).name,
                    past: Duration::ZERO,
                },
            ],
            Adapter::OldStreams | Adapter::Postgres => Vec::new(),
        }
    }

    /// Returns what a server that closes receives instead, so that the others count it no more: patterns do not count.
    /// `None` where it counts by other means, or patterns do not match.
    fn retiring(&self, namespace: &NamespaceName) -> Option<Interest> {
        let topic = self.servers(namespace);
        let is_counted = !self.adapter.has_heartbeats() && !topic.is_sharded;
        is_counted.then(|| Interest::Pattern(escaped(&topic.name).into()))
    }

    /// Returns whether rooms have channels of their own, to which their servers subscribe.
    pub(crate) fn has_room_channels(&self) -> bool {
        self.adapter == Adapter::Sharded && self.subscription_mode != SubscriptionMode::Static
    }

    /// Returns the topic of responses to a server.
    pub(crate) fn response(&self, namespace: &NamespaceName, uid: &str) -> Topic {
        let prefix = &self.prefix;
        match self.adapter {
            // The default of the adapter: every server subscribes to it, in every version.
            Adapter::Classic => Topic::new(format!("{prefix}-response#{namespace}#")),
            Adapter::Postgres => self.servers(namespace),
            _ => self.cluster_topic(format!("{prefix}#{namespace}#{uid}#")),
        }
    }

    /// Returns which of the classic adapter's channels a topic is.
    pub(crate) fn classic_kind(&self, topic: &[u8]) -> ClassicKind {
        match topic.strip_prefix(self.prefix.as_bytes()) {
            Some(rest) if rest.starts_with(b"-request#") => ClassicKind::Request,
            Some(rest) if rest.starts_with(b"-response#") => ClassicKind::Response,
            _ => ClassicKind::Broadcast,
        }
    }

    /// Returns the stream of a namespace.
    pub(crate) fn stream(&self, namespace: &NamespaceName) -> Stream {
        let name = match self.stream_count {
            0 | 1 => self.stream.clone(),
            count => format!("{}-{}", self.stream, stream_index(namespace.as_str(), count)),
        };
        Stream {
            name: name.into(),
            max_len: self.stream_max_len,
        }
    }

    fn classic_requests(&self, namespace: &NamespaceName) -> Topic {
        Topic::new(format!("{}-request#{namespace}#", self.prefix))
    }

    fn cluster_topic(&self, name: String) -> Topic {
        match self.adapter == Adapter::Sharded || self.has_sharded_requests {
            true => Topic::sharded(name),
            false => Topic::new(name),
        }
    }
}

/// Which of the classic adapter's channels a message came from.
pub(crate) enum ClassicKind {
    Broadcast,
    Request,
    Response,
}

/// Escapes what has a meaning in patterns.
pub(crate) fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for character in name.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Returns which of `count` streams a namespace uses: `hashCode(namespace) % count` as in JavaScript, which keeps the
/// sign. Servers poll no stream of a negative number, but that is where they publish.
pub(crate) fn stream_index(namespace: &str, count: u32) -> i64 {
    let hash = namespace
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    i64::from(hash) % i64::from(count)
}
