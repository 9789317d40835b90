//! The rows of the tables.

use clap::ValueEnum;

use super::{Broker, Kind};
use crate::apps::emitter::NodeAdapter;
use crate::report::Report;

/// Rows that are run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// One server and its clients
    Server,
    /// Messages from Redis to clients, for all peers
    Bridge,
    /// A million messages through each broker to one client: losses, order, memory
    Soak,
    /// Emitters alone, beside the brokers' own benchmark tools
    Emit,
    /// Emitters alone into servers on Node, through Redis
    Node,
}

/// One row: a scenario, and the figure that is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name for `--rows`, and in result files.
    pub name: &'static str,
    /// The suite that it belongs to.
    pub suite: Suite,
    /// The title in tables.
    pub title: &'static str,
    /// The arguments of the scenario; nothing for emitters alone.
    pub arguments: &'static str,
    /// The figure of the report that the row shows.
    pub figure: Figure,
    /// The targets that support it.
    pub targets: &'static [Kind],
    /// The broker between emitter and server, if there is one.
    pub broker: Option<Passing>,
}

/// The broker between an emitter and a server.
#[derive(Clone, Copy, Debug)]
pub struct Passing {
    /// Which one.
    pub broker: Broker,
    /// Messages that the emitter publishes, but for targets in whose time a thousand would be much.
    pub num_messages: u64,
    /// Messages that the emitter of this project has on their way at a time.
    pub in_flight: usize,
    /// The adapter that the emitter of this project writes for, if its messages are for servers on Node.
    pub wire: Option<NodeAdapter>,
}

impl Passing {
    /// Returns how many messages the emitter of a target publishes.
    pub fn num_messages(&self, kind: Kind) -> u64 {
        let most = match (kind, self.broker) {
            (Kind::Python, Broker::Kafka) => 10_000,
            (Kind::Python, _) => 100_000,
            (Kind::Kombu, _) => 30_000,
            _ => u64::MAX,
        };
        self.num_messages.min(most)
    }
}

/// A figure of a [`Report`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Processor time of the server per operation, in microseconds.
    CpuPerOperation,
    /// Resident memory per idle client, in KiB.
    MemoryPerClient,
    /// Operations per second.
    PerSecond,
    /// The longest latency, in milliseconds.
    Worst,
}

impl Figure {
    /// Returns the figure of one run.
    pub fn of(self, report: &Report) -> Option<f64> {
        match self {
            Self::CpuPerOperation => report.server_cpu(),
            Self::MemoryPerClient => report.memory.map(|memory| memory.per_client()),
            Self::PerSecond => Some(report.per_second),
            Self::Worst => report.latency.map(|latency| latency.max / 1e3),
        }
    }

    /// Returns the unit.
    pub fn unit(self) -> &'static str {
        match self {
            Self::CpuPerOperation => "µs",
            Self::MemoryPerClient => "KiB",
            Self::PerSecond => "/s",
            Self::Worst => "ms",
        }
    }

    /// Returns whether more is better.
    pub fn is_rate(self) -> bool {
        self == Self::PerSecond
    }
}

const ALL: &[Kind] = &[
    Kind::Floor,
    Kind::Sio,
    Kind::Observed,
    Kind::Socketioxide,
    Kind::Node,
    Kind::Python,
];
/// The floor speaks neither HTTP nor to brokers.
const WITHOUT_FLOOR: &[Kind] = &[Kind::Sio, Kind::Observed, Kind::Socketioxide, Kind::Node, Kind::Python];
/// Whose wire format has all three brokers.
const ON_BROKERS: &[Kind] = &[Kind::Sio, Kind::Python];

const fn row(name: &'static str, title: &'static str, arguments: &'static str, figure: Figure) -> Row {
    Row {
        name,
        suite: Suite::Server,
        title,
        arguments,
        figure,
        targets: ALL,
        broker: None,
    }
}

const fn bridge(name: &'static str, title: &'static str, arguments: &'static str) -> Row {
    Row {
        suite: Suite::Bridge,
        targets: WITHOUT_FLOOR,
        broker: Some(Passing {
            broker: Broker::Redis,
            num_messages: 20_000,
            in_flight: 256,
            wire: None,
        }),
        ..row(name, title, arguments, Figure::PerSecond)
    }
}

const fn soak(name: &'static str, title: &'static str, broker: Broker, targets: &'static [Kind]) -> Row {
    Row {
        suite: Suite::Soak,
        targets,
        broker: Some(Passing {
            broker,
            num_messages: 1_000_000,
            in_flight: 512,
            wire: None,
        }),
        ..row(name, title, "bridge --clients 1 --patience 10", Figure::PerSecond)
    }
}

const fn emit(name: &'static str, title: &'static str, broker: Broker, targets: &'static [Kind]) -> Row {
    Row {
        suite: Suite::Emit,
        arguments: "",
        ..soak(name, title, broker, targets)
    }
}

const fn one_by_one(name: &'static str, title: &'static str, broker: Broker) -> Row {
    Row {
        broker: Some(Passing {
            broker,
            num_messages: 20_000,
            in_flight: 1,
            wire: None,
        }),
        ..emit(name, title, broker, &[Kind::Sio])
    }
}

const fn into_node(name: &'static str, title: &'static str, adapter: NodeAdapter, targets: &'static [Kind]) -> Row {
    Row {
        suite: Suite::Node,
        broker: Some(Passing {
            broker: Broker::Redis,
            num_messages: 300_000,
            in_flight: 256,
            wire: Some(adapter),
        }),
        ..emit(name, title, Broker::Redis, targets)
    }
}

/// All rows, in the order of the tables.
pub const ROWS: &[Row] = &[
    row(
        "idle",
        "memory per idle WebSocket client, 10,000 of them",
        "connect",
        Figure::MemoryPerClient,
    ),
    row(
        "after-16k",
        "… after each got one broadcast of 16 KiB",
        "connect --broadcast 16384",
        Figure::MemoryPerClient,
    ),
    row(
        "connect",
        "CPU per connection opened, 10,000",
        "connect",
        Figure::CpuPerOperation,
    ),
    row(
        "echo",
        "CPU per event with ack, 50 clients, one outstanding",
        "echo",
        Figure::CpuPerOperation,
    ),
    row(
        "echo-8",
        "… eight outstanding each",
        "echo --depth 8",
        Figure::CpuPerOperation,
    ),
    row(
        "echo-16k",
        "… one outstanding, 16 KiB each",
        "echo --payload 16384",
        Figure::CpuPerOperation,
    ),
    Row {
        targets: WITHOUT_FLOOR,
        ..row(
            "polling",
            "… over long-polling",
            "echo --polling",
            Figure::CpuPerOperation,
        )
    },
    row(
        "room-1000",
        "CPU per delivery, room of 1,000, separate broadcasts of 128 B",
        "broadcast",
        Figure::CpuPerOperation,
    ),
    row(
        "room-1000-x10",
        "… ten broadcasts at a time",
        "broadcast --batch 10",
        Figure::CpuPerOperation,
    ),
    row(
        "rooms-100",
        "… 100 rooms of ten",
        "broadcast --rooms 100 --window 8",
        Figure::CpuPerOperation,
    ),
    row(
        "room-500-paced",
        "… room of 500, ten broadcasts a second",
        "broadcast --clients 500 --rate 10",
        Figure::CpuPerOperation,
    ),
    row(
        "churn",
        "join or leave by others during broadcasts to 3,000, worst",
        "churn",
        Figure::Worst,
    ),
    row(
        "storm",
        "reconnect storm of 5,000, clients back",
        "storm",
        Figure::PerSecond,
    ),
    bridge(
        "bridge-1",
        "Redis → server → one client, messages",
        "bridge --clients 1",
    ),
    bridge(
        "bridge-100",
        "Redis → server → 100 clients, messages",
        "bridge --clients 100",
    ),
    soak("soak-redis", "Redis, events", Broker::Redis, ON_BROKERS),
    soak(
        "soak-rabbitmq",
        "RabbitMQ, events",
        Broker::Rabbitmq,
        &[Kind::Sio, Kind::Python, Kind::Kombu],
    ),
    soak("soak-kafka", "Kafka, events", Broker::Kafka, ON_BROKERS),
    emit(
        "emit-redis",
        "Redis, emits, 512 in flight",
        Broker::Redis,
        &[Kind::Sio, Kind::Python, Kind::Tool],
    ),
    one_by_one("emit-redis-1", "Redis, emits one by one", Broker::Redis),
    emit(
        "emit-rabbitmq",
        "RabbitMQ, emits, 512 in flight",
        Broker::Rabbitmq,
        &[Kind::Sio, Kind::Python, Kind::Kombu, Kind::Tool],
    ),
    one_by_one("emit-rabbitmq-1", "RabbitMQ, emits one by one", Broker::Rabbitmq),
    emit(
        "emit-kafka",
        "Kafka, emits, 512 in flight",
        Broker::Kafka,
        &[Kind::Sio, Kind::Python, Kind::Tool],
    ),
    one_by_one("emit-kafka-1", "Kafka, emits one by one", Broker::Kafka),
    into_node(
        "node-classic",
        "Redis, emits for Node's classic adapter, 256 in flight",
        NodeAdapter::Classic,
        &[Kind::Sio, Kind::Node, Kind::Socketioxide],
    ),
    into_node(
        "node-sharded",
        "… for the sharded adapter",
        NodeAdapter::Sharded,
        &[Kind::Sio],
    ),
    into_node(
        "node-streams",
        "… for streams",
        NodeAdapter::Streams,
        &[Kind::Sio, Kind::Node],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_emitter_publishes_less_and_never_more_than_the_row_says() {
        let row = |name| ROWS.iter().find(|row| row.name == name).and_then(|row| row.broker);
        let soak = row("soak-kafka").expect("a row with a broker");
        assert_eq!(soak.num_messages(Kind::Sio), 1_000_000);
        assert_eq!(soak.num_messages(Kind::Python), 10_000);
        let bridge = row("bridge-100").expect("a row with a broker");
        assert_eq!(bridge.num_messages(Kind::Python), 20_000);
    }

    #[test]
    fn rows_have_names_of_their_own() {
        let mut names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }
}
