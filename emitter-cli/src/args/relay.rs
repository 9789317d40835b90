//! The command line of `relay`, with its feature. What it leaves out is taken from the environment, then from the file.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::examples::RELAY_EXAMPLES;
use super::values::duration;

/// Move records of a topic, a queue or a stream into rooms
///
/// A record is acknowledged to its source only after the broker of the servers has accepted its event: at least once. Several relays share the
/// work of one source. What cannot be mapped becomes a dead letter.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = RELAY_EXAMPLES)]
pub(crate) struct RelayArgs {
    /// The kind of the source
    #[arg(env = "SIO_RELAY_SOURCE", hide_env = true)]
    pub(crate) source: Option<SourceKind>,
    /// The URL of the source's broker, unless it is standard input; also SIO_RELAY_SOURCE_URL, or the file named by SIO_RELAY_SOURCE_URL_FILE
    #[arg(env = "SIO_RELAY_SOURCE_URL", hide_env = true)]
    pub(crate) source_url: Option<String>,
    /// A file of settings, in TOML, with a table `relay`; also SIO_CONFIG
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
    #[command(flatten)]
    pub(crate) mapping: MappingArgs,
    /// Stop at the first record that would become a dead letter, with exit code 2
    #[arg(long)]
    pub(crate) strict: bool,
    /// Records that may be read and not acknowledged yet; with 1 they keep their order through outages. Default 1024
    #[arg(long, value_name = "N", env = "SIO_RELAY_IN_FLIGHT", hide_env = true)]
    pub(crate) in_flight: Option<usize>,
    /// At SIGTERM or SIGINT: how long the records under way may take. Default 10s
    #[arg(long, value_name = "TIME", value_parser = duration, env = "SIO_RELAY_DRAIN", hide_env = true)]
    pub(crate) drain: Option<Duration>,
    /// The address of metrics and health: HOST:PORT, or a port of 127.0.0.1. Without it there is none
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin_listen: Option<String>,
    /// Take standard input as the body of one record, print what would be emitted, and end. Nothing is connected
    #[arg(long)]
    pub(crate) check: bool,
    /// With --check: a header of that record; may be repeated
    #[arg(long, value_name = "NAME=VALUE", requires = "check")]
    pub(crate) check_header: Vec<String>,
    /// The URL of the servers' broker; also SIO_URL, or the file named by SIO_URL_FILE. Default redis://127.0.0.1:7379
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The channel that servers and emitters share; also SIO_CHANNEL. Default socketio
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// How long the servers' broker may take to accept an event before that is tried again: 10s, 500ms, 2m. Default 10s
    #[arg(long, value_name = "TIME", value_parser = duration, env = "SIO_RELAY_TIMEOUT", hide_env = true)]
    pub(crate) timeout: Option<Duration>,
}

/// What is read.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ReadingArgs {
    /// The stream of redis-stream, the topic of kafka (may be repeated), the queue of amqp, the table of postgres
    #[arg(long = "from", visible_aliases = ["stream", "topic", "queue", "table"], value_name = "NAME", env = "SIO_RELAY_FROM", hide_env = true)]
    pub(crate) names: Vec<String>,
    /// The consumer group of redis-stream or kafka. Default sio
    #[arg(long, value_name = "NAME", env = "SIO_RELAY_GROUP", hide_env = true)]
    pub(crate) group: Option<String>,
    /// The name of this member of a group of redis-stream; under the same name it has what was pending at once. Default that of this machine
    #[arg(long, value_name = "NAME", env = "SIO_RELAY_CONSUMER", hide_env = true)]
    pub(crate) consumer: Option<String>,
    /// Where a group begins that is new. Default beginning
    #[arg(long, value_name = "WHERE", env = "SIO_RELAY_START", hide_env = true)]
    pub(crate) start: Option<StartAt>,
    /// What is the body: a field of a redis-stream's entries, by default the only one, or all as an object of JSON; a column of a postgres
    /// table, by default payload
    #[arg(long, value_name = "NAME", env = "SIO_RELAY_FIELD", hide_env = true)]
    pub(crate) field: Option<String>,
    /// Where dead letters go: a stream, a topic or a queue of the source's broker, by default its name with .dead; a table, by default its
    /// name with _dead; a file for stdin, by default standard error
    #[arg(long, value_name = "NAME", env = "SIO_RELAY_DEAD_LETTER", hide_env = true)]
    pub(crate) dead_letter: Option<String>,
    /// How long an entry of a redis-stream is pending with a member that is gone before another one claims it. Default 30s
    #[arg(long, value_name = "TIME", value_parser = duration, env = "SIO_RELAY_CLAIM_AFTER", hide_env = true)]
    pub(crate) claim_after: Option<Duration>,
    /// The column of a postgres table by which rows are known and ordered, a number or a UUID. Default id
    #[arg(long, value_name = "NAME", env = "SIO_RELAY_ID_COLUMN", hide_env = true)]
    pub(crate) id_column: Option<String>,
    /// How often a postgres table is read without a notification. Default 1s
    #[arg(long, value_name = "TIME", value_parser = duration, env = "SIO_RELAY_POLL", hide_env = true)]
    pub(crate) poll: Option<Duration>,
    /// How long rows of a postgres table are locked, and their transaction is open, while they are not acknowledged. Default 30s
    #[arg(long, value_name = "TIME", value_parser = duration, env = "SIO_RELAY_HOLD", hide_env = true)]
    pub(crate) hold: Option<Duration>,
    /// Let only one relay at a time read a postgres table, so that several relays keep the order of its ids
    #[arg(long)]
    pub(crate) ordered: bool,
    /// The largest record, in bytes; a larger one becomes a dead letter. Default 1048576
    #[arg(long, value_name = "BYTES", env = "SIO_RELAY_MAX_RECORD", hide_env = true)]
    pub(crate) max_record: Option<usize>,
}

/// What becomes of a record.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct MappingArgs {
    /// The name of the event, a template. Without it each record is an object as in `emit --lines`
    #[arg(long, value_name = "TEMPLATE", env = "SIO_RELAY_EVENT", hide_env = true)]
    pub(crate) event: Option<String>,
    /// The namespace, a template. Default /
    #[arg(short, long, value_name = "TEMPLATE", env = "SIO_RELAY_NAMESPACE", hide_env = true)]
    pub(crate) namespace: Option<String>,
    /// A room, a template; may be repeated. Default: all clients
    #[arg(short, long, value_name = "TEMPLATE", env = "SIO_RELAY_ROOM", hide_env = true)]
    pub(crate) room: Vec<String>,
    /// A room whose members do not get it, a template; may be repeated
    #[arg(long, value_name = "TEMPLATE", env = "SIO_RELAY_EXCEPT_ROOM", hide_env = true)]
    pub(crate) except_room: Vec<String>,
    /// An argument of the event, a template; may be repeated. Default {body}
    #[arg(long, value_name = "TEMPLATE", env = "SIO_RELAY_ARG", hide_env = true)]
    pub(crate) arg: Vec<String>,
    /// What {body} is as an argument. Default json
    #[arg(long, value_name = "FORM", env = "SIO_RELAY_BODY", hide_env = true)]
    pub(crate) body: Option<BodyForm>,
    /// The key by which servers drop repetitions, a template. Default the record's place, where it has a lasting one
    #[arg(long, value_name = "TEMPLATE", env = "SIO_RELAY_KEY", hide_env = true)]
    pub(crate) key: Option<String>,
}

/// The kind of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SourceKind {
    /// Lines of standard input
    Stdin,
    /// A consumer group of a stream of Redis or Valkey
    #[cfg(feature = "redis")]
    RedisStream,
    /// A consumer group of topics of Kafka
    #[cfg(feature = "kafka")]
    Kafka,
    /// A queue of RabbitMQ
    #[cfg(feature = "amqp")]
    Amqp,
    /// A table of PostgreSQL, such as an outbox
    #[cfg(feature = "postgres")]
    Postgres,
}

/// Where a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StartAt {
    /// At the oldest record that there is
    Beginning,
    /// At the next record
    End,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BodyForm {
    /// A JSON value
    Json,
    /// Text
    Text,
    /// Binary
    Binary,
}
