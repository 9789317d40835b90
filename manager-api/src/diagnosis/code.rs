//! The codes of findings: their names, severities and remedies.

use std::fmt;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// All is well.
    Ok,
    /// To be known, nothing to be done.
    Note,
    /// Events may be lost or unexpected under some circumstances.
    Warning,
    /// Events do not arrive, or are lost.
    Problem,
}

impl Severity {
    /// Returns its name: `ok`, `note`, `warning`, `problem`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $name:literal, $severity:ident, $remedy:literal;)+) => {
        /// The kind of a finding. Names are stable: scripts may rely on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $code,)+
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$code),+];

            /// Returns its name, such as `missing-right`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                }
            }

            /// Returns how much it matters.
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$code => Severity::$severity,)+
                }
            }

            /// Returns what to do about it; empty if there is nothing to do.
            pub fn remedy(self) -> &'static str {
                match self {
                    $(Self::$code => $remedy,)+
                }
            }
        }
    };
}

codes! {
    /// The broker has accepted a message, and a subscription.
    Reachable = "reachable", Ok, "";
    /// A message came back to its publisher.
    RoundTrip = "round-trip", Ok, "";
    /// Servers responded.
    Servers = "servers", Ok, "";

    /// The broker cannot be reached.
    Unreachable = "unreachable", Problem,
        "start the broker, or correct host and port in the URL; from a container, localhost is the container itself; check firewalls";
    /// TLS is missing, superfluous, or the certificate is not accepted.
    Tls = "tls", Problem,
        "use the scheme with TLS exactly where the port speaks it (rediss://, amqps://, security.protocol=SSL, sslmode=require), and name the authority by ca=";
    /// The login was refused.
    Login = "login", Problem,
        "correct user and password in the URL; percent-encode special characters of a password";
    /// A right is missing.
    MissingRight = "missing-right", Problem,
        "grant the user the right that is named; docs/brokers.md lists those of servers and of workers";
    /// Another service answers at the address.
    WrongService = "wrong-service", Problem,
        "correct scheme and port of the URL: another service or protocol is there";
    /// The server is a replica, on which messages reach only its own subscribers, or a standby, which takes none.
    Replica = "replica", Problem,
        "name the master in the URL, or the sentinels (redis+sentinel://); for PostgreSQL the primary";
    /// The virtual host does not exist, or is closed to the user.
    VirtualHost = "virtual-host", Problem,
        "correct the virtual host at the end of the URL (the default is /, written amqp://host// or without a path), or grant the user access";
    /// The exchange exists, and was declared differently.
    ForeignExchange = "foreign-exchange", Problem,
        "use another channel, or delete the exchange while no process uses it: it must be of type fanout, not durable, not auto-deleted";
    /// The broker does not accept the kind of queue.
    QueueRefused = "queue-refused", Problem,
        "choose another kind by ?queue=durable in the URL, or permit the feature on the broker";
    /// The database of PostgreSQL does not exist, or is closed to the user.
    DatabaseMissing = "database-missing", Problem,
        "correct the database at the end of the URL, or create it";
    /// The database of PostgreSQL lacks the objects of sio, or has those of another version.
    NotInstalled = "not-installed", Problem,
        "run `sio postgres install` with this URL, as a user who may create a schema";
    /// A connection pooler is in between, through which no notification arrives.
    Pooler = "pooler", Problem,
        "connect servers to PostgreSQL itself, or to a pool with pool_mode = session; workers that only emit may use the pooler";
    /// The queue of notifications of PostgreSQL fills up.
    NotificationQueue = "notification-queue", Problem,
        "end the session that listens and reads nothing: it is in a transaction for long, see pg_stat_activity";
    /// The broker accepts no messages for now.
    BrokerAlarm = "broker-alarm", Problem,
        "free memory or disk on the broker, or raise its limits (vm_memory_high_watermark, disk_free_limit)";
    /// The topic does not exist.
    TopicMissing = "topic-missing", Problem,
        "create the topic with one partition, or start a server, which creates it; correct --channel if it is misspelt";
    /// The brokers name addresses that cannot be reached from here.
    AdvertisedListener = "advertised-listener", Problem,
        "set advertised.listeners of the broker to an address that its clients can reach";
    /// Messages are deleted so soon that a short outage loses them.
    ShortRetention = "short-retention", Problem,
        "raise retention.ms of the topic; an hour (3600000) is plenty";
    /// The broker disconnects subscribers for which a message of this size is queued.
    OutputBufferLimit = "output-buffer-limit", Problem,
        "raise the limit on the broker: client-output-buffer-limit pubsub 256mb 64mb 60";
    /// The broker refused, for another reason.
    Refused = "refused", Problem,
        "see the evidence, and the log of the broker";
    /// A message was accepted and did not come back.
    NotDelivered = "not-delivered", Problem,
        "look for policies, limits or a proxy between publisher and subscriber; on a cluster, for nodes without a link to each other";
    /// No server listens on the channel.
    NoServer = "no-server", Problem,
        "start a server with this URL and channel, or correct --channel and --url; servers of python-socketio cannot respond";
    /// A server has announced itself and does not respond.
    SilentServer = "silent-server", Problem,
        "look at that server: it is stopped, overloaded, or far behind on the channel";
    /// A publisher sends Python pickles.
    Pickle = "pickle", Problem,
        "upgrade python-socketio to 5.14 or later, in servers and workers: its messages are ignored";
    /// The diagnosis did not end in time.
    TimedOut = "timed-out", Problem,
        "repeat it with a longer --timeout; a broker that stands still looks like this";

    /// More processes listen than responded.
    MuteListeners = "mute-listeners", Warning,
        "nothing, if they are servers of python-socketio, which cannot respond, or workers that wait for responses; otherwise look for a server that is stopped or overloaded";
    /// A server may have missed messages.
    ServerGaps = "server-gaps", Warning,
        "look at the log of that server for the reasons: lost connections, a subscriber that is too slow, a limit of the broker";
    /// The clocks of a server and of this machine differ.
    ClockSkew = "clock-skew", Warning,
        "synchronise the clocks by NTP: latencies and times in logs are wrong";
    /// Another channel of the broker is in use.
    OtherChannel = "other-channel", Warning,
        "pass one of them as --channel, if the servers use it; Node's adapters and kombu over Redis speak other formats";
    /// No client is in the namespace, and servers have clients elsewhere.
    EmptyNamespace = "empty-namespace", Warning,
        "correct --namespace: it begins with a slash, and the clients have to connect to it";
    /// Messages on the channel cannot be decoded.
    Undecodable = "undecodable", Warning,
        "find the publisher: another protocol or version uses the same channel";
    /// The topic has several partitions.
    SeveralPartitions = "several-partitions", Warning,
        "use one partition if python-socketio publishes: its events lose their order on several";
    /// The subscription of the diagnosis may have missed messages.
    Gap = "gap", Warning,
        "look for an unstable connection, or a limit of the broker for subscribers";

    /// Something could not be examined.
    NotChecked = "not-checked", Note, "";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_every_warning_and_problem_has_a_remedy() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            let is_kebab = |letter: char| letter.is_ascii_lowercase() || letter == '-';
            assert!(code.name().chars().all(is_kebab), "{code}");
            let needs_remedy = code.severity() >= Severity::Warning;
            assert_eq!(!code.remedy().is_empty(), needs_remedy, "{code}");
        }
        assert!(Severity::Problem > Severity::Warning && Severity::Note > Severity::Ok);
    }
}
