//! Kafka keeps messages: only those that it deleted itself are lost.

use integration::brokers::kafka::KafkaRights;
use integration::brokers::{KafkaBroker, unique_channel};
use integration::managers;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::Run;
use super::outage::{Cut, cut_off_thrice, down_for_a_while, stand_still, until};
use super::run::options;

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
    down_for_a_while(&mut broker).await;
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stands_still_loses_nothing_silently() {
    let broker = KafkaBroker::start().await;
    let run = Run::start(&broker.url(), &broker.url()).await;
    stand_still(&broker).await;
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_cut_off_loses_nothing_silently() {
    let (broker, proxy) = KafkaBroker::start_behind_proxy().await;
    let run = Run::start(&format!("kafka://{}", proxy.addr()), &broker.url()).await;
    cut_off_thrice(&proxy, &run, Cut::MissesNothing).await;
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_is_cut_off_loses_nothing_silently() {
    let (broker, proxy) = KafkaBroker::start_behind_proxy().await;
    let run = Run::start(&broker.url(), &format!("kafka://{}", proxy.addr())).await;
    cut_off_thrice(&proxy, &run, Cut::MissesNothing).await;
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
    until("noticed", async || run.health().listening_since.is_none()).await;
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
