//! Kafka: it keeps messages, so that nothing is lost but what it has deleted itself.

use std::time::Duration;

use integration::brokers::KafkaBroker;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

use super::Run;

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
    tokio::time::sleep(OUTAGE).await;
    broker.restart().await;
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stands_still_loses_nothing_silently() {
    let broker = KafkaBroker::start().await;
    let run = Run::start(&broker.url(), &broker.url()).await;
    broker.freeze().await;
    tokio::time::sleep(OUTAGE).await;
    broker.thaw();
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_cut_off_loses_nothing_silently() {
    let (broker, proxy) = KafkaBroker::start_behind_proxy().await;
    let run = Run::start(&format!("kafka://{}", proxy.addr()), &broker.url()).await;
    for _ in 0..3 {
        proxy.cut().await;
        tokio::time::sleep(OUTAGE / 4).await;
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
        tokio::time::sleep(OUTAGE / 4).await;
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

fn admin(broker: &KafkaBroker) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address()).create().unwrap()
}
