//! The kinds of sources: how each is filled, and which arguments read it.

use std::io::Write;
use std::time::Duration;

use integration::brokers::redis::ask;
use integration::brokers::{KafkaBroker, RabbitBroker, RedisBroker, unique_channel};
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// A source of a test's own.
pub(crate) trait Kind: Sized {
    /// Makes an empty one.
    async fn new() -> Self;

    /// Returns the arguments by which the relay with this number reads it.
    fn arguments(&self, number: u64) -> Vec<String>;

    /// Appends a record with this body.
    async fn append(&mut self, bodies: Vec<String>);

    /// Returns the reasons of its dead letters, once there are so many, with the bodies that they hold.
    async fn dead_letters(&mut self, count: usize) -> Vec<(String, String)>;

    /// Appends the records of numbers.
    async fn append_numbers(&mut self, numbers: std::ops::Range<u64>) {
        self.append(numbers.map(|number| format!("{{\"n\":{number}}}")).collect())
            .await;
    }
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// A stream of Redis, on the broker that carries the events as well.
pub(crate) struct RedisStream {
    url: &'static str,
    pub(crate) stream: String,
}

impl Kind for RedisStream {
    async fn new() -> Self {
        let url = RedisBroker::shared().await.url();
        let stream = format!("stream-{}", unique_channel());
        Self { url, stream }
    }

    fn arguments(&self, number: u64) -> Vec<String> {
        // Three members, whose names come back.
        let consumer = format!("c{}", number % 3);
        let (url, stream) = (self.url, &*self.stream);
        strings(&[
            "redis-stream",
            url,
            "--stream",
            stream,
            "--group",
            "g",
            "--consumer",
            &consumer,
            "--claim-after",
            "2s",
        ])
    }

    async fn append(&mut self, bodies: Vec<String>) {
        let mut connection = redis::Client::open(self.url)
            .unwrap()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        for chunk in bodies.chunks(1_000) {
            let mut pipe = redis::pipe();
            for body in chunk {
                pipe.cmd("XADD")
                    .arg(&self.stream)
                    .arg("*")
                    .arg("body")
                    .arg(body)
                    .ignore();
            }
            pipe.query_async::<()>(&mut connection).await.unwrap();
        }
    }

    async fn dead_letters(&mut self, count: usize) -> Vec<(String, String)> {
        let dead = format!("{}.dead", self.stream);
        loop {
            let command = redis::cmd("XRANGE").arg(&dead).arg("-").arg("+").to_owned();
            let entries: Vec<(String, Vec<(String, String)>)> = ask(self.url, &command).await.unwrap();
            if entries.len() >= count {
                let of = |fields: &[(String, String)], name: &str| {
                    let found = fields.iter().find(|(each, _)| each == name);
                    found.map(|(_, value)| value.clone()).unwrap_or_default()
                };
                return entries
                    .iter()
                    .map(|(_, fields)| (of(fields, "sio-reason"), of(fields, "body")))
                    .collect();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A topic of Kafka with six partitions.
pub(crate) struct Kafka {
    url: &'static str,
    pub(crate) topic: String,
}

impl Kafka {
    fn servers(&self) -> &str {
        self.url
            .trim_start_matches("kafka://")
            .split('?')
            .next()
            .unwrap_or_default()
    }

    /// Creates the topic, or another one whose name has a suffix.
    pub(crate) async fn create(&self, suffix: &str, num_partitions: i32, config: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", self.servers())
            .create()
            .unwrap();
        let name = format!("{}{suffix}", self.topic);
        let mut new = NewTopic::new(&name, num_partitions, TopicReplication::Fixed(1));
        new.config = config.to_vec();
        let results = admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
}

impl Kind for Kafka {
    async fn new() -> Self {
        let url = KafkaBroker::shared().await.url();
        let topic = format!("topic-{}", unique_channel());
        let kafka = Self { url, topic };
        kafka.create("", 6, &[]).await;
        kafka
    }

    fn arguments(&self, _: u64) -> Vec<String> {
        let url = format!("{}?session.timeout.ms=6000&heartbeat.interval.ms=500", self.url);
        strings(&["kafka", &url, "--topic", &self.topic, "--group", &self.topic])
    }

    async fn append(&mut self, bodies: Vec<String>) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.servers())
            .set("acks", "all")
            .create()
            .unwrap();
        for (at, body) in bodies.iter().enumerate() {
            let partition = i32::try_from(at % 6).unwrap();
            let record = || {
                BaseRecord::<(), String>::to(&self.topic)
                    .payload(body)
                    .partition(partition)
            };
            while producer.send(record()).is_err() {
                producer.poll(Duration::from_millis(10));
            }
        }
        producer.flush(integration::DEADLINE).unwrap();
    }

    async fn dead_letters(&mut self, count: usize) -> Vec<(String, String)> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.servers())
            .set("group.id", format!("{}.read", self.topic))
            .set("auto.offset.reset", "earliest")
            .set("topic.metadata.refresh.interval.ms", "200")
            .create()
            .unwrap();
        consumer.subscribe(&[&format!("{}.dead", self.topic)]).unwrap();
        tokio::task::spawn_blocking(move || {
            let mut letters = Vec::new();
            while letters.len() < count {
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    let letter: serde_json::Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
                    let of = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
                    letters.push((of("reason"), of("body")));
                }
            }
            letters
        })
        .await
        .unwrap()
    }
}

/// A queue of RabbitMQ.
pub(crate) struct Amqp {
    url: &'static str,
    pub(crate) queue: String,
    _connection: Connection,
    channel: Channel,
    num_appended: u64,
}

impl Kind for Amqp {
    async fn new() -> Self {
        let url = RabbitBroker::shared().await.url();
        let queue = format!("queue-{}", unique_channel());
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(queue.as_str().into(), options, FieldTable::default())
            .await
            .unwrap();
        Self {
            url,
            queue,
            _connection: connection,
            channel,
            num_appended: 0,
        }
    }

    fn arguments(&self, _: u64) -> Vec<String> {
        strings(&["amqp", self.url, "--queue", &self.queue])
    }

    async fn append(&mut self, bodies: Vec<String>) {
        let mut confirms = Vec::new();
        for body in bodies {
            self.num_appended += 1;
            let id = format!("m{}", self.num_appended);
            let properties = BasicProperties::default()
                .with_message_id(id.as_str().into())
                .with_delivery_mode(2);
            let options = BasicPublishOptions::default();
            let key = self.queue.as_str().into();
            let confirm = self
                .channel
                .basic_publish("".into(), key, options, body.as_bytes(), properties)
                .await;
            confirms.push(confirm.unwrap());
        }
        for confirm in confirms {
            assert!(confirm.await.unwrap().is_ack());
        }
    }

    async fn dead_letters(&mut self, count: usize) -> Vec<(String, String)> {
        let dead = format!("{}.dead", self.queue);
        let mut letters = Vec::new();
        while letters.len() < count {
            let channel = self._connection.create_channel().await.unwrap();
            let options = BasicGetOptions { no_ack: true };
            if let Ok(Some(message)) = channel.basic_get(dead.as_str().into(), options).await {
                let headers = message.properties.headers().clone().unwrap_or_default();
                let reason = headers
                    .inner()
                    .get("sio-reason")
                    .and_then(|reason| reason.as_long_string().cloned());
                let reason = reason.map(|reason| reason.to_string()).unwrap_or_default();
                letters.push((reason, String::from_utf8_lossy(&message.data).into_owned()));
                continue;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        letters
    }
}

/// Lines of a file as standard input. A relay that begins again reads it from its beginning.
pub(crate) struct Lines {
    file: tempfile::NamedTempFile,
    letters: tempfile::NamedTempFile,
}

impl Kind for Lines {
    async fn new() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let letters = tempfile::NamedTempFile::new().unwrap();
        Self { file, letters }
    }

    fn arguments(&self, _: u64) -> Vec<String> {
        strings(&[
            "stdin",
            "--key",
            "line-{/n}",
            "--dead-letter",
            self.letters.path().to_str().unwrap(),
        ])
    }

    async fn append(&mut self, bodies: Vec<String>) {
        for body in bodies {
            writeln!(self.file, "{body}").unwrap();
        }
        self.file.flush().unwrap();
    }

    async fn dead_letters(&mut self, count: usize) -> Vec<(String, String)> {
        loop {
            let text = std::fs::read_to_string(self.letters.path()).unwrap();
            let letters: Vec<serde_json::Value> = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            if letters.len() >= count {
                let of = |letter: &serde_json::Value, name: &str| letter[name].as_str().unwrap_or_default().to_owned();
                return letters
                    .iter()
                    .map(|letter| (of(letter, "reason"), of(letter, "body")))
                    .collect();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
