//! A topic of one partition that is read from a position on.

use integration::brokers::{KafkaBroker, Shared};
use manager_api::replay::Start;
use manager_api::{ClientManager, ErrorKind};
use manager_kafka::{KafkaManager, KafkaOptions};
use rdkafka::admin::AdminOptions;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::topics::{admin, with_partitions};
use super::{manager, publish_at_last};
use crate::support::placed::{NEW, expect_gap, expect_placed, read};
use crate::support::within;

async fn start() -> (&'static Shared, KafkaOptions, KafkaManager) {
    let (kafka, options) = (KafkaBroker::shared().await, with_partitions(1));
    let manager = manager(kafka.url(), &options);
    (kafka, options, manager)
}

/// The message at the offset of the position is not the one that was there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_of_a_topic_that_was_made_anew_is_a_gap() {
    let (kafka, options, old) = start().await;
    let mut reader = read(&old, NEW).await;
    publish_at_last(&old, "old").await;
    let position = expect_placed(&mut reader, "old").await;
    drop(reader);
    old.close().await.unwrap();
    let doomed = [options.common.channel.as_str()];
    let deleted = admin(kafka).delete_topics(&doomed, &AdminOptions::new()).await;
    assert!(deleted.unwrap().iter().all(Result::is_ok));
    let new = manager(kafka.url(), &options);
    publish_at_last(&new, "new").await;
    publish_at_last(&new, "newer").await;
    let mut reader = read(&new, Start::After(position)).await;
    let reason = expect_gap(&mut reader).await;
    assert!(reason.contains("another one"), "{reason}");
    expect_placed(&mut reader, "new").await;
    expect_placed(&mut reader, "newer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_retention_has_deleted_is_a_gap() {
    let (kafka, options, manager) = start().await;
    let mut reader = read(&manager, NEW).await;
    let mut positions = Vec::new();
    for message in ["a", "b", "c"] {
        publish_at_last(&manager, message).await;
        positions.push(expect_placed(&mut reader, message).await);
    }
    let mut before = TopicPartitionList::new();
    let topic = &options.common.channel;
    before.add_partition_offset(topic, 0, Offset::Offset(1)).unwrap();
    admin(kafka)
        .delete_records(&before, &AdminOptions::new())
        .await
        .unwrap();
    let mut behind_the_first = read(&manager, Start::After(positions[0])).await;
    expect_gap(&mut behind_the_first).await;
    expect_placed(&mut behind_the_first, "b").await;
    let mut behind_the_second = read(&manager, Start::After(positions[1])).await;
    expect_placed(&mut behind_the_second, "c").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_of_several_partitions_is_no_log() {
    let (kafka, options, manager) = start().await;
    let mut several = with_partitions(3);
    several.common.channel = options.common.channel.clone();
    let other = super::manager(kafka.url(), &several);
    assert!(other.replay().is_none(), "its options say so");
    publish_at_last(&other, "a").await;
    let read = manager.replay().unwrap().read_from(NEW);
    let error = within("it is refused", read).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("has 3 partitions"), "{error}");
}
