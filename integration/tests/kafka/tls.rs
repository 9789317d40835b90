//! Kafka over TLS, with certificates on both sides. Needs the feature `kafka-tls`.

use integration::brokers::Flavour;
use integration::brokers::certificates::Certificates;
use integration::brokers::kafka::KafkaTls;
use manager_api::ClientManager;

use super::protocols::refused_saying;
use super::{manager, next_message, options};
use crate::support::within;

async fn passes(url: &str) {
    let mut options = options();
    options.common.deadline = 3 * integration::DEADLINE;
    let server = manager(url, &options);
    let mut subscription = within("subscribe", server.subscribe()).await.unwrap();
    within("publish", server.publish("there and back".into()))
        .await
        .unwrap();
    assert_eq!(next_message(&mut subscription).await, "there and back");
    assert_eq!(server.health().last_error, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_and_a_certificate_of_our_own() {
    let broker = KafkaTls::start_strict().await;
    let [chain, key] = ["own.pem", "own.key"].map(|name| broker.certificates().file(name));
    passes(&format!("{}&client_cert={chain}&client_key={key}", broker.url())).await;
    refused_saying(&broker.url(), &["certificate", "client_cert"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_self_signed_certificate_is_trusted_as_ca_and_each_refusal_says_what_to_do() {
    let broker = KafkaTls::start_self_signed().await;
    let url = broker.url_of_strangers();
    let ca = broker.certificates().file("own.pem");
    passes(&format!("{url}&ca={ca}&ssl.endpoint.identification.algorithm=none")).await;
    refused_saying(
        &format!("{url}&ca={ca}"),
        &["certificate", "ssl.endpoint.identification.algorithm"],
    )
    .await;
    let untrusting = format!("{url}&ssl.endpoint.identification.algorithm=none");
    refused_saying(&untrusting, &["certificate", "ca="]).await;
    let other = Certificates::signed().unwrap();
    let wrong = other.file("ca.pem");
    refused_saying(&format!("{untrusting}&ca={wrong}"), &["certificate", "ca="]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_tls_at_a_port_without_is_told_so() {
    let broker = KafkaTls::start_self_signed().await;
    let plain = broker.server().address();
    let url = format!("kafka://{plain}?security.protocol=SSL");
    let port = format!("{plain}: this port speaks no TLS");
    refused_saying(&url, &["cannot use Kafka", &port, "security.protocol"]).await;
}
