//! Kafka: logins, rights, the topic, advertised addresses.

use integration::brokers::kafka::KafkaRights;
use integration::brokers::{KafkaBroker, unique_channel};
use manager_api::{ClientManager, ManagerOptions};
use manager_kafka::{KafkaManager, KafkaOptions, TopicOptions};
use tokio::net::TcpListener;

use super::{Diagnosis, a_channel_with_a_server_is_healthy};

/// Makes a topic.
async fn create(url: &str, topic: &str, num_partitions: u16, properties: &[(&str, &str)]) {
    let properties = properties
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = KafkaOptions {
        common: ManagerOptions {
            channel: topic.to_owned(),
            ..ManagerOptions::default()
        },
        topic: TopicOptions {
            num_partitions: Some(num_partitions),
            properties: properties.collect(),
            ..TopicOptions::default()
        },
        ..KafkaOptions::default()
    };
    let manager = KafkaManager::new(url, options).unwrap();
    manager.publish("{}".into()).await.unwrap();
    manager.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_channel_is_called_healthy() {
    a_channel_with_a_server_is_healthy(KafkaBroker::shared().await.url(), &unique_channel()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_silent_behind_or_of_another_time_and_pickles_are_named() {
    let url = KafkaBroker::shared().await.url();
    super::servers_and_publishers_that_are_not_well_are_named(url, &unique_channel()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_missing_divided_or_forgetful_is_named_and_none_is_created() {
    let url = KafkaBroker::shared().await.url();
    let (missing, divided, forgetful) = (unique_channel(), unique_channel(), unique_channel());
    let other = format!("flask-socketio-{missing}");
    create(url, &other, 1, &[]).await;
    for _ in 0..2 {
        // The second time it would be there, if the first had created it.
        let diagnosis = Diagnosis::of(url, &missing, &["--timeout", "16s"]).await;
        diagnosis
            .names("topic-missing", &missing)
            .names("other-channel", &other)
            .lacks("no-server");
    }
    create(url, &divided, 3, &[]).await;
    let diagnosis = Diagnosis::of(url, &divided, &[]).await;
    diagnosis
        .names("several-partitions", "3 partitions")
        .names("several-partitions", "python-socketio");
    diagnosis.names("no-server", "no server of this project");
    create(url, &forgetful, 1, &[("retention.ms", "5000")]).await;
    Diagnosis::of(url, &forgetful, &[])
        .await
        .names("short-retention", "after 5s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_clients_cannot_reach_is_named() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let absent = format!("kafka://{}", closed.local_addr().unwrap());
    drop(closed);
    Diagnosis::of(&absent, "socketio", &["--timeout", "6s"])
        .await
        .names("unreachable", "")
        .lacks("no-server");

    let broker = KafkaBroker::start().await;
    create(&broker.url(), "socketio", 1, &[]).await;
    let diagnosis = Diagnosis::of(&broker.misadvertised_url(), "socketio", &[]).await;
    diagnosis
        .names("advertised-listener", "refused")
        .names("advertised-listener", "advertised.listeners");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_is_missing_or_wrong_and_each_missing_right_are_named() {
    let broker = KafkaRights::start().await;
    create(&broker.server().url(), "socketio", 1, &[]).await;
    let plainly = format!("kafka://{}", broker.address());
    Diagnosis::of(&plainly, "socketio", &[])
        .await
        .names("login", "wants a login");
    let wrong = broker.url_with("sasl.mechanism=PLAIN&sasl.username=sio&sasl.password=hunter2");
    Diagnosis::of(&wrong, "socketio", &[])
        .await
        .names("login", "uthentication");
    for (rights, right) in [(&[][..], "Describe"), (&["DESCRIBE", "WRITE"], "Read")] {
        if !rights.is_empty() {
            broker.allow("sio", "socketio", rights).await;
        }
        let diagnosis = Diagnosis::of(&broker.url_of("sio"), "socketio", &[]).await;
        diagnosis.names("missing-right", right).lacks("no-server");
    }
    broker.allow("other", "socketio", &["DESCRIBE", "READ"]).await;
    Diagnosis::of(&broker.url_of("other"), "socketio", &[])
        .await
        .names("missing-right", "Write");
}
