//! Mismatched protocols: a client with the wrong security protocol is refused at once, with what to change.

use integration::brokers::kafka::{KafkaRights, KafkaTls};
use integration::brokers::{KafkaBroker, RedisBroker};
use manager_api::ClientManager;

use super::refusals::refusal;
use super::{manager, options};

/// Both directions at once, as a server does it.
pub(super) async fn refused_saying(url: &str, names: &[&str]) {
    let mut options = options();
    options.common.deadline = 3 * integration::DEADLINE;
    let server = manager(url, &options);
    tokio::join!(
        refusal(server.publish("x".into()), names),
        refusal(server.subscribe(), names)
    );
    let health = server.health();
    assert!(
        health.num_refusals >= 2 && health.listening_since.is_none(),
        "{health:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_tls_at_a_port_with_tls_is_told_so() {
    let broker = KafkaTls::start_self_signed().await;
    let url = format!("kafka://{}", broker.address());
    let port = format!("{}: this port speaks TLS", broker.address());
    refused_saying(&url, &["cannot use Kafka", &port, "security.protocol=SSL"]).await;
    let login =
        format!("{url}?security.protocol=SASL_PLAINTEXT&sasl.mechanism=PLAIN&sasl.username=me&sasl.password=s3cret");
    refused_saying(&login, &[&port, "security.protocol=SASL_SSL"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_a_login_at_a_port_that_wants_one_is_told_so() {
    let broker = KafkaRights::start().await;
    let port = format!("{}: this port wants a login, one of PLAIN", broker.address());
    let url = format!("kafka://{}", broker.address());
    refused_saying(&url, &["cannot use Kafka", &port, "sasl.mechanism"]).await;
}

#[tokio::test]
async fn another_service_at_the_port_is_told_at_once() {
    let redis = RedisBroker::start().await;
    let port = redis
        .url()
        .trim_start_matches("redis://")
        .trim_end_matches("/0")
        .to_owned();
    let told = format!("{port}: this port has Redis, not Kafka");
    refused_saying(&format!("kafka://{port}"), &["cannot use Kafka", &told]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_connections_and_tells_nothing_is_an_outage() {
    let (_broker, proxy) = KafkaBroker::start_behind_proxy().await;
    proxy.cut().await;
    let mut options = options();
    options.common.deadline = std::time::Duration::from_secs(2);
    let server = manager(&format!("kafka://{}", proxy.addr()), &options);
    let (published, subscribed) = tokio::join!(server.publish("x".into()), server.subscribe());
    for error in [published.unwrap_err(), subscribed.unwrap_err()] {
        assert_eq!((error.is_refusal(), error.is_retryable()), (false, true), "{error:?}");
    }
    proxy.restore();
    super::publish_at_last(&server, "x").await;
}
