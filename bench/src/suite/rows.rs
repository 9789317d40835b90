//! The rows of the tables.

use crate::report::Report;

/// One row: a scenario, and the figure that is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name for `--only`, and in result files.
    pub name: &'static str,
    /// What the row shows, in the words of the table.
    pub title: &'static str,
    /// The arguments of the scenario.
    pub arguments: &'static str,
    /// What is taken from the report.
    pub figure: Figure,
    /// Whether the servers listen on a broker, to which an emitter publishes so many messages. The floor cannot.
    pub num_messages: Option<u64>,
    /// Whether the floor can do it.
    pub has_floor: bool,
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

const fn row(name: &'static str, title: &'static str, arguments: &'static str, figure: Figure) -> Row {
    Row {
        name,
        title,
        arguments,
        figure,
        num_messages: None,
        has_floor: true,
    }
}

const fn bridge(name: &'static str, title: &'static str, arguments: &'static str, num_messages: u64) -> Row {
    Row {
        num_messages: Some(num_messages),
        has_floor: false,
        ..row(name, title, arguments, Figure::PerSecond)
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
        has_floor: false,
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
        "broker → server → one client, messages",
        "bridge --clients 1",
        20_000,
    ),
    bridge(
        "bridge-100",
        "broker → server → 100 clients, messages",
        "bridge --clients 100",
        20_000,
    ),
];
