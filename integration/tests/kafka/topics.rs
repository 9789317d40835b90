//! Topics that are missing, grow, shrink or vanish; messages of unusual size.

use std::time::Duration;

use bytes::Bytes;
use integration::brokers::{KafkaBroker, Shared};
use manager_api::{ClientManager, ErrorKind, Incoming};
use manager_kafka::{KafkaManager, KafkaOptions, TopicOptions};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{manager, next, next_message, options, publish_at_last, until_gap};

pub(super) fn admin(kafka: &Shared) -> AdminClient<DefaultClientContext> {
    let servers = kafka.url().trim_start_matches("kafka://");
    ClientConfig::new().set("bootstrap.servers", servers).create().unwrap()
}

pub(super) fn with_partitions(count: u16) -> KafkaOptions {
    KafkaOptions {
        topic: TopicOptions {
            num_partitions: Some(count),
            ..TopicOptions::default()
        },
        partition_refresh: Duration::from_millis(100),
        ..options()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_partitions_are_read_from_their_beginning() {
    const PUBLISHERS: usize = 16;
    let kafka = KafkaBroker::shared().await;
    let options = with_partitions(1);
    let server = manager(kafka.url(), &options);
    let mut subscription = server.subscribe().await.unwrap();
    let topic = &options.common.channel;
    let wanted = [NewPartitions::new(topic, 8)];
    let grown = admin(kafka).create_partitions(&wanted, &AdminOptions::new()).await;
    assert!(grown.unwrap().iter().all(Result::is_ok));
    // With as many keys, hardly one partition stays empty.
    let publishers: Vec<_> = (0..PUBLISHERS).map(|_| manager(kafka.url(), &options)).collect();
    for (number, publisher) in publishers.iter().enumerate() {
        publisher.publish(number.to_string().into()).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < PUBLISHERS {
        let message = next_message(&mut subscription).await;
        seen.push(std::str::from_utf8(&message).unwrap().parse::<usize>().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..PUBLISHERS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_vanished_is_a_gap_and_is_made_anew() {
    let kafka = KafkaBroker::shared().await;
    let options = with_partitions(2);
    let server = manager(kafka.url(), &options);
    let mut subscription = server.subscribe().await.unwrap();
    publish_at_last(&server, "before").await;
    assert_eq!(next_message(&mut subscription).await, "before");
    let doomed = [options.common.channel.as_str()];
    let deleted = admin(kafka).delete_topics(&doomed, &AdminOptions::new()).await;
    assert!(deleted.unwrap().iter().all(Result::is_ok));
    until_gap(&mut subscription).await;
    publish_at_last(&server, "after").await;
    while next(&mut subscription).await != Incoming::Message("after".into()) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_gone_from_the_broker_are_a_gap_and_the_others_come() {
    let (broker, proxy) = KafkaBroker::start_behind_proxy().await;
    let options = with_partitions(1);
    let server = manager(&format!("kafka://{}", proxy.addr()), &options);
    let mut subscription = server.subscribe().await.unwrap();
    let publisher = manager(&broker.url(), &options);
    publish_at_last(&publisher, "seen").await;
    assert_eq!(next_message(&mut subscription).await, "seen");
    proxy.cut().await;
    for message in ["gone", "gone", "kept"] {
        publish_at_last(&publisher, message).await;
    }
    let mut before = TopicPartitionList::new();
    let topic = &options.common.channel;
    before.add_partition_offset(topic, 0, Offset::Offset(3)).unwrap();
    let admin: AdminClient<_> = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .create()
        .unwrap();
    admin.delete_records(&before, &AdminOptions::new()).await.unwrap();
    proxy.restore();
    assert!(matches!(next(&mut subscription).await, Incoming::Gap { .. }));
    assert_eq!(next_message(&mut subscription).await, "kept");
    publish_at_last(&publisher, "later").await;
    assert_eq!(next_message(&mut subscription).await, "later");
    assert_eq!(server.health().num_gaps, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_may_not_be_made_is_an_error() {
    let kafka = KafkaBroker::shared().await;
    let mut options = options();
    options.topic.is_created = false;
    options.common.deadline = Duration::from_secs(1);
    let manager = manager(kafka.url(), &options);
    let (published, subscribed) = tokio::join!(manager.publish("x".into()), manager.subscribe());
    for error in [published.unwrap_err(), subscribed.err().unwrap()] {
        assert!(error.to_string().contains("does not exist"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_33_megabytes_passes_where_it_may_and_harms_no_other_where_not() {
    const LEN: usize = 33_000_000;
    let kafka = KafkaBroker::shared().await;
    let mut options = options();
    let small = manager(kafka.url(), &options);
    let big = Bytes::from(vec![b'x'; LEN]);
    assert_eq!(
        small.publish(big.clone()).await.unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    // The topic is made for messages as small as this manager's, which is for the broker to say.
    small.publish("small".into()).await.unwrap();
    let mut subscription = small.subscribe().await.unwrap();
    options.common.max_message_bytes = 40_000_000;
    let large = manager(kafka.url(), &options);
    assert_eq!(
        large.publish(big.clone()).await.unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    large.publish("next".into()).await.unwrap();
    assert_eq!(next_message(&mut subscription).await, "next");

    options.common.channel = integration::brokers::unique_channel();
    let large = manager(kafka.url(), &options);
    let mut whole = large.subscribe().await.unwrap();
    options.common.max_message_bytes = 1000;
    let small: KafkaManager = manager(kafka.url(), &options);
    let mut parts = small.subscribe().await.unwrap();
    large.publish(big.clone()).await.unwrap();
    large.publish("next".into()).await.unwrap();
    assert!(next_message(&mut whole).await == big);
    assert!(matches!(next(&mut parts).await, Incoming::Gap { .. }));
    assert_eq!(next_message(&mut parts).await, "next");
}
