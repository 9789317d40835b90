//! The source of `relay`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use manager_api::source::{Place, Position, Record, Source};

use crate::args::{ReadingArgs, RelayArgs, SourceKind, StartAt};
use crate::backend::BrokerUrl;
use crate::failure::Failure;

/// The largest record where nothing else is said, in bytes.
const MAX_RECORD: usize = 1 << 20;
/// The group where nothing else is said.
const GROUP: &str = "sio";

/// What is read.
pub(crate) enum SourcePlan {
    /// Lines of standard input; dead letters go to a file, or to standard error.
    Stdin {
        dead_letters: Option<PathBuf>,
        max_record: usize,
    },
    /// A source of a broker, which connects on first use.
    Broker {
        source: Arc<dyn Source>,
        url: BrokerUrl,
        what: String,
    },
}

impl fmt::Debug for SourcePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourcePlan::Stdin { .. } => f.write_str("stdin"),
            SourcePlan::Broker { url, what, .. } => write!(f, "{what} at {url}"),
        }
    }
}

impl SourcePlan {
    pub(super) fn new(args: &RelayArgs) -> Result<SourcePlan, Failure> {
        let Some(kind) = args.source else {
            return Err(Failure::input(
                "name a source: sio relay stdin, or redis-stream, kafka, amqp, postgres with a URL; or relay.source.kind in --config",
            ));
        };
        let max_record = args.reading.max_record.unwrap_or(MAX_RECORD);
        if kind == SourceKind::Stdin {
            return stdin(args, max_record);
        }
        let url = args.source_url.as_deref().map(str::trim).unwrap_or_default();
        if url.is_empty() {
            return Err(Failure::input(
                "the source needs the URL of its broker; also SIO_RELAY_SOURCE_URL",
            ));
        }
        let shown = BrokerUrl::parse(url)?;
        let (source, what) = of_broker(kind, url, &args.reading, max_record)?;
        Ok(SourcePlan::Broker {
            source,
            url: shown,
            what,
        })
    }
}

fn stdin(args: &RelayArgs, max_record: usize) -> Result<SourcePlan, Failure> {
    let reading = &args.reading;
    let is_unused = args.source_url.is_some() || !reading.names.is_empty() || reading.group.is_some();
    match is_unused {
        true => Err(Failure::input("standard input has no URL, no name and no group")),
        false => Ok(SourcePlan::Stdin {
            dead_letters: reading.dead_letter.as_ref().map(PathBuf::from),
            max_record,
        }),
    }
}

/// Makes the source of a broker, and the words by which it is named.
#[allow(unused_variables, reason = "a build without brokers has none of these sources")]
fn of_broker(
    kind: SourceKind,
    url: &str,
    reading: &ReadingArgs,
    max_record: usize,
) -> Result<(Arc<dyn Source>, String), Failure> {
    let group = reading.group.as_deref().unwrap_or(GROUP);
    match kind {
        SourceKind::Stdin => Err(Failure::input("standard input has no broker")),
        #[cfg(feature = "redis")]
        SourceKind::RedisStream => {
            use siokit::redis::{StreamSource, StreamSourceOptions, StreamStart};
            let stream = only_name(reading, "stream")?;
            let consumer = reading.consumer.clone().unwrap_or_else(machine);
            let mut options = StreamSourceOptions::new(stream, group, consumer);
            options.redis.common.max_message_bytes = max_record;
            options.body_field.clone_from(&reading.field);
            options.claim_after = reading.claim_after.unwrap_or(options.claim_after);
            if reading.start == Some(StartAt::End) {
                options.start = StreamStart::End;
            }
            set(&mut options.dead_letters, &reading.dead_letter);
            let source = StreamSource::new(url, options).map_err(|error| unusable(url, error))?;
            Ok((Arc::new(source), format!("stream {stream:?}, group {group:?}")))
        }
        #[cfg(feature = "kafka")]
        SourceKind::Kafka => {
            use siokit::kafka::{TopicSource, TopicSourceOptions, TopicStart};
            if reading.names.is_empty() {
                return Err(Failure::input("name a topic with --topic"));
            }
            let mut options = TopicSourceOptions::new(&reading.names, group);
            options.kafka.common.max_message_bytes = max_record;
            if reading.start == Some(StartAt::End) {
                options.start = TopicStart::End;
            }
            set(&mut options.dead_letters, &reading.dead_letter);
            let source = TopicSource::new(url, options).map_err(|error| unusable(url, error))?;
            let topics = reading.names.join(", ");
            Ok((Arc::new(source), format!("topics {topics:?}, group {group:?}")))
        }
        #[cfg(feature = "amqp")]
        SourceKind::Amqp => {
            use siokit::amqp::{QueueSource, QueueSourceOptions};
            let queue = only_name(reading, "queue")?;
            let mut options = QueueSourceOptions::new(queue);
            options.amqp.common.max_message_bytes = max_record;
            set(&mut options.dead_letters, &reading.dead_letter);
            let source = QueueSource::new(url, options).map_err(|error| unusable(url, error))?;
            Ok((Arc::new(source), format!("queue {queue:?}")))
        }
        #[cfg(feature = "postgres")]
        SourceKind::Postgres => table(url, reading, max_record),
    }
}

/// Makes a table a source.
#[cfg(feature = "postgres")]
fn table(url: &str, reading: &ReadingArgs, max_record: usize) -> Result<(Arc<dyn Source>, String), Failure> {
    use siokit::postgres::{TableSource, TableSourceOptions};
    let table = only_name(reading, "table")?;
    let mut options = TableSourceOptions::new(table);
    options.postgres.common.max_message_bytes = max_record;
    set(&mut options.body_column, &reading.field);
    set(&mut options.id_column, &reading.id_column);
    set(&mut options.dead_letters, &reading.dead_letter);
    options.poll_interval = reading.poll.unwrap_or(options.poll_interval);
    options.hold = reading.hold.unwrap_or(options.hold);
    options.is_ordered = reading.ordered;
    let source = TableSource::new(url, options).map_err(|error| unusable(url, error))?;
    Ok((Arc::new(source), format!("table {table:?}")))
}

/// Replaces a default by what was given.
#[cfg(any(feature = "redis", feature = "kafka", feature = "amqp", feature = "postgres"))]
fn set(slot: &mut String, given: &Option<String>) {
    if let Some(given) = given {
        slot.clone_from(given);
    }
}

/// Says that a source cannot be made.
#[cfg(any(feature = "redis", feature = "kafka", feature = "amqp", feature = "postgres"))]
fn unusable(url: &str, error: manager_api::Error) -> Failure {
    Failure::of(error, format!("cannot use {}", manager_api::backend::url::shown(url)))
}

/// Returns the one name of a stream or a queue.
fn only_name<'a>(reading: &'a ReadingArgs, what: &str) -> Result<&'a str, Failure> {
    match &reading.names[..] {
        [name] if !name.is_empty() => Ok(name),
        [] => Err(Failure::input(format!("name the {what} with --{what}"))),
        _ => Err(Failure::input(format!("name one {what} with --{what}"))),
    }
}

/// Returns the name of this machine, by which a member of a group is known when it begins again.
fn machine() -> String {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    match name.is_empty() {
        true => "sio-relay".to_owned(),
        false => name,
    }
}

/// Makes a record as the source would, for `--check`.
pub(super) fn sample(args: &RelayArgs) -> Record {
    let name: Arc<str> = args
        .reading
        .names
        .first()
        .map_or("standard input", String::as_str)
        .into();
    let place = match args.source {
        #[cfg(feature = "redis")]
        Some(SourceKind::RedisStream) => Place::Entry { time: 1, number: 0 },
        #[cfg(feature = "kafka")]
        Some(SourceKind::Kafka) => Place::Offset {
            partition: 0,
            offset: 0,
        },
        #[cfg(feature = "postgres")]
        Some(SourceKind::Postgres) => Place::Row { id: 1 },
        _ => Place::Line(1),
    };
    Record::new(Position { name, place }, "")
}
