//! Kafka: it keeps messages, so that nothing is lost but what it has deleted itself.

use std::time::Duration;

use integration::brokers::kafka::KafkaRights;
use integration::brokers::{KafkaBroker, unique_channel};
use integration::managers;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tokio::time::{sleep, timeout};

use super::Run;
use super::run::options;

/// Longer than the publisher's deadline, shorter than a test may take.
const OUTAGE: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_restarted_loses_nothing_silently() {
    let mut broker = KafkaBroker::start().await;
    let run = Run::start(&broker.url(), &broker.url()).await;
    broker.restart().await;
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_down_for_a_while_loses_nothing_silently() {
    let mut broker = KafkaBroker::start().await;
    let run = Run::start(&broker.url(), &broker.url()).await;
    broker.kill();
    sleep(OUTAGE).await;
    broker.restart().await;
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stands_still_loses_nothing_silently() {
    let broker = KafkaBroker::start().await;
    let run = Run::start(&broker.url(), &broker.url()).await;
    broker.freeze().await;
    sleep(OUTAGE).await;
    broker.thaw();
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_cut_off_loses_nothing_silently() {
    let (broker, proxy) = KafkaBroker::start_behind_proxy().await;
    let run = Run::start(&format!("kafka://{}", proxy.addr()), &broker.url()).await;
    for _ in 0..3 {
        proxy.cut().await;
        sleep(OUTAGE / 4).await;
        proxy.restore();
        run.flows(100).await;
    }
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_is_cut_off_loses_nothing_silently() {
    let (broker, proxy) = KafkaBroker::start_behind_proxy().await;
    let run = Run::start(&broker.url(), &format!("kafka://{}", proxy.addr())).await;
    for _ in 0..3 {
        proxy.cut().await;
        sleep(OUTAGE / 4).await;
        proxy.restore();
        run.flows(100).await;
    }
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_and_made_anew_loses_nothing_silently() {
    let broker = KafkaBroker::start().await;
    let run = Run::start(&broker.url(), &broker.url()).await;
    let deleted = admin(&broker)
        .delete_topics(&[run.channel.as_str()], &AdminOptions::new())
        .await;
    assert!(deleted.unwrap().iter().all(Result::is_ok));
    run.until_gaps(1).await;
    run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_whose_right_is_taken_away_for_a_while_loses_nothing_silently() {
    let broker = KafkaRights::start().await;
    let channel = unique_channel();
    let rights = ["DESCRIBE", "READ", "WRITE", "CREATE"];
    broker.allow("sio", &channel, &rights).await;
    let listener = managers::manager(&broker.url_of("sio"), options(&channel));
    let run = Run::start_with(listener, &broker.server().url(), &channel).await;
    broker.deny("sio", &channel, &rights).await;
    let is_deaf = async {
        while run.health().listening_since.is_some() {
            sleep(OUTAGE / 100).await;
        }
    };
    timeout(10 * OUTAGE, is_deaf).await.expect("it is noticed");
    broker.allow("sio", &channel, &rights).await;
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_moves_to_another_broker_loses_nothing_silently() {
    let broker = KafkaBroker::start().await;
    let mut second = broker.start_second().await;
    let channel = unique_channel();
    // The first of the replicas leads.
    let replicas: &[&[i32]] = &[&[2, 1]];
    let topic = NewTopic::new(&channel, 1, TopicReplication::Variable(replicas));
    let made = admin(&broker).create_topics([&topic], &AdminOptions::new()).await;
    assert!(made.unwrap().iter().all(Result::is_ok));
    let listener = managers::manager(&broker.url(), options(&channel));
    let run = Run::start_with(listener, &broker.url(), &channel).await;
    second.kill();
    run.flows(1_000).await;
    second.restart().await;
    run.balance().await.assert_nothing_lost();
}

fn admin(broker: &KafkaBroker) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address()).create().unwrap()
}
