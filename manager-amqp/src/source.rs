//! A queue as a source of records: consumed with a prefetch, acknowledged message by message.
//!
//! What was delivered and not acknowledged the broker delivers again, to any consumer, when the connection ends.

mod letters;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};
use manager_api::backend::{Failure as _, bad, closed, seconds};
use manager_api::source::{Fault, Place, Position, Reading, Record, Source, SourceStatus};
use manager_api::{Error, HostId};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::config::AmqpOptions;
use crate::connect::{Connector, Link};
use crate::error::{During, Failure, Step, Thing, Trouble};
use letters::Letters;

/// The longest name of a queue, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// How long a reading waits for a message before it is empty.
const WAIT: Duration = Duration::from_secs(2);
/// How often the queue is asked how many messages wait in it.
const LOOK: Duration = Duration::from_secs(5);
/// The lag that is not known.
const UNKNOWN: u64 = u64::MAX;

/// The options of a [`QueueSource`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueueSourceOptions {
    /// The options of connections. [`max_message_bytes`](manager_api::ManagerOptions::max_message_bytes) is the limit
    /// of a record; channel, exchange and queue are not used.
    pub amqp: AmqpOptions,
    /// The queue. It must exist: its owner declares it, and binds it to where messages are published.
    pub queue: String,
    /// The most messages that were delivered and are not acknowledged, which the client library holds. Default 500;
    /// zero counts as one.
    pub prefetch: u16,
    /// The queue of dead letters, which is declared durable if it does not exist. Default the name of the queue with
    /// `.dead`.
    pub dead_letters: String,
}

impl QueueSourceOptions {
    /// Reads `queue`, with defaults.
    pub fn new(queue: impl Into<String>) -> Self {
        let queue = queue.into();
        Self {
            amqp: AmqpOptions::default(),
            dead_letters: format!("{queue}.dead"),
            queue,
            prefetch: 500,
        }
    }

    fn check(&self) -> Result<(), Error> {
        for (what, name) in [("queue", &self.queue), ("queue of dead letters", &self.dead_letters)] {
            if name.is_empty() || name.len() > MAX_NAME_BYTES {
                return Err(bad(format!("the name of the {what} has 1 to {MAX_NAME_BYTES} bytes")));
            }
        }
        match self.dead_letters == self.queue {
            true => Err(bad("the queue of dead letters is the queue itself")),
            false => self.amqp.check(),
        }
    }
}

/// A queue of RabbitMQ as a source of records.
///
/// The headers of a record are those of the message whose values are text, numbers or booleans, and `routing-key`; its
/// key is the message id. Dead letters are the messages with their headers, and `sio-position` and `sio-reason`.
pub struct QueueSource {
    shared: Arc<Shared>,
    consuming: Mutex<Option<Consuming>>,
    /// The channel that acknowledges, and the number of its connection.
    channel: Arc<Mutex<Option<(u64, Channel)>>>,
    letters: Mutex<Letters>,
}

struct Shared {
    options: QueueSourceOptions,
    connector: Connector,
    name: Arc<str>,
    num_connections: AtomicU64,
    is_connected: AtomicBool,
    is_closed: AtomicBool,
    lag: AtomicU64,
}

/// A connection that consumes the queue.
struct Consuming {
    number: u64,
    link: Link,
    channel: Channel,
    consumer: Consumer,
    looked: tokio::time::Instant,
}

impl QueueSource {
    /// Creates a source, which connects on first use. The URL is that of an [`AmqpManager`](crate::AmqpManager).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](manager_api::ErrorKind::Config) for a URL, a name or an option that cannot be used. The
    /// text never contains a password.
    pub fn new(url: &str, options: QueueSourceOptions) -> Result<Self, Error> {
        options.check()?;
        let shared = Arc::new(Shared {
            connector: Connector::new(url, &options.amqp, &HostId::random())?,
            name: options.queue.as_str().into(),
            num_connections: AtomicU64::new(0),
            is_connected: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            lag: AtomicU64::new(UNKNOWN),
            options,
        });
        Ok(Self {
            consuming: Mutex::new(None),
            channel: Arc::default(),
            letters: Mutex::new(Letters::new(shared.options.dead_letters.clone())),
            shared,
        })
    }
}

impl Shared {
    /// Returns the error of a call.
    fn error(&self, failure: Failure) -> Error {
        Arc::new(failure).unreachable(self.options.amqp.connect_timeout)
    }

    /// Connects, and consumes the queue.
    async fn open(&self) -> Result<Consuming, Trouble> {
        let link = self.connector.connect("relay").await?;
        let channel = link.connection.create_channel().await?;
        let prefetch = self.options.prefetch.max(1);
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let queue = self.options.queue.as_str().into();
        let consuming = channel.basic_consume(queue, "".into(), BasicConsumeOptions::default(), FieldTable::default());
        let consumer = consuming.await.during(|| Step::Consume(self.options.queue.clone()))?;
        self.is_connected.store(true, Ordering::Relaxed);
        Ok(Consuming {
            number: self.num_connections.fetch_add(1, Ordering::Relaxed) + 1,
            link,
            channel,
            consumer,
            looked: tokio::time::Instant::now(),
        })
    }

    /// Asks how many messages wait in the queue.
    async fn look(&self, channel: &Channel) -> Result<(), Trouble> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let name = &self.options.queue;
        let asked = channel.queue_declare(name.as_str().into(), options, FieldTable::default());
        let queue = asked.await.during(|| Step::Declare(Thing::Queue(name.clone())))?;
        self.lag.store(queue.message_count().into(), Ordering::Relaxed);
        Ok(())
    }

    /// Makes a record of a message.
    fn record(&self, number: u64, delivery: Delivery) -> Record {
        let position = Position {
            name: self.name.clone(),
            place: Place::Delivery {
                connection: number,
                tag: delivery.delivery_tag,
            },
        };
        let mut record = Record::new(position, Bytes::from(delivery.data));
        record.is_redelivered = delivery.redelivered;
        let id = delivery.properties.message_id().as_ref();
        record.key = id.map(|id| Bytes::copy_from_slice(id.as_str().as_bytes()));
        let headers = delivery.properties.headers().as_ref();
        let headers = headers.into_iter().flat_map(FieldTable::inner);
        record.headers = headers
            .filter_map(|(name, value)| Some((name.as_str().into(), text_of(value)?)))
            .collect();
        let key = Bytes::copy_from_slice(delivery.routing_key.as_str().as_bytes());
        record.headers.push(("routing-key".into(), key));
        let size = record.size();
        if size > self.options.amqp.common.max_message_bytes {
            // It keeps its body, for the dead letter: the message itself is gone once it is acknowledged.
            record.fault = Some(Fault::TooLarge(size));
        }
        record
    }
}

impl Consuming {
    /// Waits for messages; returns none if none came for a while.
    async fn next(&mut self, shared: &Shared) -> Result<Vec<Record>, Failure> {
        if self.looked.elapsed() > LOOK {
            self.looked = tokio::time::Instant::now();
            shared.connector.within_timeout(shared.look(&self.channel)).await?;
        }
        let Ok(first) = timeout(WAIT, self.consumer.next()).await else {
            return match self.link.is_up() {
                true => Ok(Vec::new()),
                false => Err(Failure::other(shared.connector.label(), "the connection was lost")),
            };
        };
        let mut next = first;
        let mut records = Vec::new();
        loop {
            match next {
                Some(Ok(delivery)) => records.push(shared.record(self.number, delivery)),
                // What was delivered before is delivered again.
                Some(Err(error)) => return Err(shared.connector.failure(error)),
                None => {
                    let text = "the broker ended the consumer, or the queue";
                    return Err(Failure::other(shared.connector.label(), text));
                }
            }
            if records.len() >= usize::from(shared.options.prefetch) {
                return Ok(records);
            }
            match self.consumer.next().now_or_never() {
                Some(more) => next = more,
                None => return Ok(records),
            }
        }
    }
}

#[async_trait]
impl Source for QueueSource {
    async fn next(&self) -> Result<Reading, Error> {
        if self.shared.is_closed.load(Ordering::Relaxed) {
            return Err(closed());
        }
        let mut slot = self.consuming.lock().await;
        // It stays in its place: when the caller gives up, what was delivered is still to be acknowledged on it.
        let Some(consuming) = slot.as_mut() else {
            let opened = self.shared.connector.within_timeout(self.shared.open()).await;
            let opened = opened.map_err(|failure| self.shared.error(failure))?;
            *self.channel.lock().await = Some((opened.number, opened.channel.clone()));
            *slot = Some(opened);
            // So that the caller knows that it is connected.
            return Ok(Reading::Records(Vec::new()));
        };
        match consuming.next(&self.shared).await {
            Ok(records) => Ok(Reading::Records(records)),
            Err(failure) => {
                *slot = None;
                self.shared.is_connected.store(false, Ordering::Relaxed);
                *self.channel.lock().await = None;
                Err(self.shared.error(failure))
            }
        }
    }

    async fn acknowledge(&self, positions: &[Position]) -> Result<(), Error> {
        let Some((number, channel)) = self.channel.lock().await.clone() else {
            return Ok(());
        };
        // What was delivered on an earlier connection is delivered again.
        let tags = positions.iter().filter_map(|position| match position.place {
            Place::Delivery { connection, tag } if connection == number => Some(tag),
            _ => None,
        });
        let Some(last) = tags.max() else {
            return Ok(());
        };
        let acked = channel.basic_ack(last, BasicAckOptions { multiple: true });
        let acked = self.shared.connector.within_timeout(acked).await;
        if acked.is_err() && !channel.status().connected() {
            // What was delivered on it is delivered again. Were it kept, a reader that waits for these acknowledgements
            // before it reads on would never find out.
            self.channel.lock().await.take_if(|(each, _)| *each == number);
        }
        acked.map_err(|failure| self.shared.error(failure))
    }

    async fn dead_letter(&self, record: &Record, reason: &str) -> Result<(), Error> {
        let mut letters = self.letters.lock().await;
        let stored = letters.store(&self.shared.connector, record, reason).await;
        stored.map_err(|failure| self.shared.error(failure))
    }

    async fn close(&self, limit: Duration) -> Result<(), Error> {
        self.shared.is_closed.store(true, Ordering::Relaxed);
        self.shared.is_connected.store(false, Ordering::Relaxed);
        *self.channel.lock().await = None;
        let consuming = timeout(limit, async { self.consuming.lock().await.take() }).await;
        let mut ended = Ok(());
        if let Ok(Some(Consuming { link, channel, .. })) = consuming {
            // In this order acknowledgements that were sent arrive before the end.
            ended = match timeout(limit, channel.close(200, "bye".into())).await {
                Ok(closed) => closed.map_err(|error| self.shared.connector.failure(error)),
                Err(_) => {
                    let text = format!("the channel was not closed within {}", seconds(limit));
                    Err(Failure::other(self.shared.connector.label(), text))
                }
            };
            link.close(limit).await;
        }
        self.letters.lock().await.close(limit).await;
        ended.map_err(|failure| self.shared.error(failure))
    }

    fn status(&self) -> SourceStatus {
        let lag = self.shared.lag.load(Ordering::Relaxed);
        let is_connected = self.shared.is_connected.load(Ordering::Relaxed);
        SourceStatus::new(is_connected, (lag != UNKNOWN).then_some(lag))
    }
}

impl fmt::Debug for QueueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueSource")
            .field("connector", &self.shared.connector)
            .field("queue", &self.shared.options.queue)
            .finish_non_exhaustive()
    }
}

/// Returns the text of a header; `None` for values that have none.
fn text_of(value: &AMQPValue) -> Option<Bytes> {
    let text = match value {
        AMQPValue::LongString(text) => return Some(Bytes::copy_from_slice(text.as_bytes())),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(number) => number.to_string(),
        AMQPValue::ShortShortUInt(number) => number.to_string(),
        AMQPValue::ShortInt(number) => number.to_string(),
        AMQPValue::ShortUInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongUInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::Timestamp(number) => number.to_string(),
        _ => return None,
    };
    Some(text.into())
}
