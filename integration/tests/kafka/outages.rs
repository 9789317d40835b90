//! Outages of Kafka under numbered messages: it responds but accepts nothing, or does not respond for long.

use std::time::Duration;

use futures_util::future::join_all;
use integration::brokers::KafkaBroker;
use manager_api::{ClientManager, Error, Subscription};
use manager_kafka::{KafkaManager, KafkaOptions};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tokio::time::Instant;

use super::{manager, next_message, options};

/// The time that a publish may take beyond its deadline on a busy machine.
pub(super) const SLACK: Duration = Duration::from_secs(8);
/// Number of publishes during the fault.
const OVERDUE: u64 = 50;

/// Options with which a fault is an error soon.
fn hasty() -> KafkaOptions {
    let mut options = options();
    options.common.deadline = Duration::from_secs(2);
    options.request_timeout = Duration::from_secs(1);
    options.topic.num_partitions = Some(1);
    options
}

fn admin(broker: &KafkaBroker) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address()).create().unwrap()
}

/// A listener, a publisher, and the numbers that were accepted so far.
struct Numbered {
    server: KafkaManager,
    subscription: Subscription,
    publisher: KafkaManager,
    next: u64,
    accepted: Vec<u64>,
}

impl Numbered {
    async fn start(url: &str, options: &KafkaOptions) -> Self {
        let server = manager(url, options);
        let subscription = server.subscribe().await.unwrap();
        let publisher = manager(url, options);
        let (next, accepted) = (0, Vec::new());
        Self {
            server,
            subscription,
            publisher,
            next,
            accepted,
        }
    }

    async fn publish(&mut self, count: u64) -> Vec<Error> {
        let numbers: Vec<_> = (self.next..self.next + count).collect();
        self.next += count;
        let published = numbers
            .iter()
            .map(|number| self.publisher.publish(number.to_string().into()));
        let mut failures = Vec::new();
        for (number, published) in numbers.iter().zip(join_all(published).await) {
            match published {
                Ok(()) => self.accepted.push(*number),
                Err(error) => failures.push(error),
            }
        }
        failures
    }

    /// Publishes while there is a fault: everything fails, in time, with what can be retried.
    async fn fail(&mut self, options: &KafkaOptions) -> Vec<Error> {
        let started = Instant::now();
        let failures = self.publish(OVERDUE).await;
        let took = started.elapsed();
        assert_eq!(failures.len() as u64, OVERDUE, "no broker can have accepted one");
        assert!(took < options.common.deadline + SLACK, "{took:?}");
        for error in &failures {
            assert!(error.is_retryable(), "{error:?}");
        }
        failures
    }

    /// Publishes until one is accepted, and then some that must be.
    async fn recover(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.publish(1).await.is_empty() {
            assert!(Instant::now() < end, "nothing is accepted again");
        }
        assert!(self.publish(200).await.is_empty());
    }

    /// Everything that was accepted is received, in order, once, and without a gap; so may be what failed with its answer lost.
    async fn expect_accepted(&mut self) {
        let mut accepted = self.accepted.iter().copied().peekable();
        let mut before = None;
        while accepted.peek().is_some() {
            let message = next_message(&mut self.subscription).await;
            let number: u64 = std::str::from_utf8(&message).unwrap().parse().unwrap();
            assert!(before < Some(number), "{number} after {before:?}");
            before = Some(number);
            let missed = accepted.next_if(|accepted| *accepted < number);
            assert_eq!(missed, None, "accepted, and not there before {number}");
            accepted.next_if_eq(&number);
        }
        assert_eq!(self.server.health().num_gaps, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_frozen_for_longer_than_every_timeout_loses_nothing_that_it_had_accepted() {
    let broker = KafkaBroker::start().await;
    let options = hasty();
    let mut numbered = Numbered::start(&broker.url(), &options).await;
    assert!(numbered.publish(200).await.is_empty());
    broker.freeze().await;
    for error in numbered.fail(&options).await {
        assert!(error.to_string().contains(&broker.address()), "{error}");
    }
    broker.thaw();
    numbered.recover().await;
    numbered.expect_accepted().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_without_a_leader_for_a_while_loses_nothing_and_is_read_on() {
    let broker = KafkaBroker::start().await;
    let mut second = broker.start_second().await;
    let options = hasty();
    make_topic(&broker, &options, &[2]).await;
    let mut numbered = Numbered::start(&broker.url(), &options).await;
    assert!(numbered.publish(200).await.is_empty());
    second.kill();
    // The other broker answers all the time, and knows that no leader accepts writes.
    numbered.fail(&options).await;
    second.restart().await;
    numbered.recover().await;
    numbered.expect_accepted().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_replicas_fail_publishes_at_the_deadline_and_are_waited_for() {
    let broker = KafkaBroker::start().await;
    let mut second = broker.start_second().await;
    let options = hasty();
    make_topic(&broker, &options, &[1, 2]).await;
    let mut numbered = Numbered::start(&broker.url(), &options).await;
    assert!(numbered.publish(200).await.is_empty());
    second.kill();
    // The leader answers all the time, and takes nothing that it would have alone.
    numbered.fail(&options).await;
    assert!(numbered.server.health().listening_since.is_some(), "listening goes on");
    second.restart().await;
    numbered.recover().await;
    numbered.expect_accepted().await;
}

/// Makes a topic that takes nothing unless all of its replicas have it.
async fn make_topic(broker: &KafkaBroker, options: &KafkaOptions, replicas: &[i32]) {
    let replication = [replicas];
    let num_replicas = replicas.len().to_string();
    let topic = NewTopic::new(&options.common.channel, 1, TopicReplication::Variable(&replication))
        .set("min.insync.replicas", &num_replicas);
    let made = admin(broker).create_topics([&topic], &AdminOptions::new()).await;
    assert!(made.unwrap().iter().all(Result::is_ok));
}
