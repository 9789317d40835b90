//! RabbitMQ over TLS, with certificates on both sides.

use std::time::Duration;

use integration::brokers::Flavour;
use integration::brokers::rabbitmq::RabbitTls;
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, ErrorKind, Incoming};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_and_a_certificate_of_our_own() {
    let broker = RabbitTls::start_strict().await;
    let [chain, key] = ["own.pem", "own.key"].map(|name| broker.certificates().file(name));
    let mut options = AmqpOptions::default();
    options.tls.client_identity = Some((chain.clone().into(), key.clone().into()));
    let manager = AmqpManager::new(&broker.url(), options.clone()).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("there and back".into()).await.unwrap();
    assert_eq!(
        subscription.recv().await,
        Some(Incoming::Message("there and back".into()))
    );

    options.common.deadline = Duration::from_secs(2);
    let by_url = format!("{}&client_cert={chain}&client_key={key}", broker.url());
    let by_url = AmqpManager::new(&by_url, AmqpOptions::default()).unwrap();
    by_url.publish("with the same certificate".into()).await.unwrap();

    let unknown = AmqpManager::new(&broker.url_of_strangers(), options).unwrap();
    let error = unknown.publish("x".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_self_signed_certificate_is_trusted_as_ca_and_each_refusal_says_what_to_do() {
    let broker = RabbitTls::start_self_signed().await;
    let url = broker.url_of_strangers();
    let ca = broker.certificates().file("own.pem");
    let trusting = format!("{url}?ca={ca}&tls_server_name=broker.test");
    let manager = AmqpManager::new(&trusting, AmqpOptions::default()).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("x".into()).await.unwrap();
    assert_eq!(subscription.recv().await, Some(Incoming::Message("x".into())));

    for (url, advice, kind) in [
        (format!("{url}?ca={ca}"), "tls_server_name", ErrorKind::Connect),
        (
            format!("{url}?tls_server_name=broker.test"),
            "itself as ca",
            ErrorKind::Connect,
        ),
        (
            format!("amqps://guest:guest@{}?ca={ca}", broker.server().address()),
            "does this port speak it",
            ErrorKind::Connect,
        ),
        (url.replace("amqps://", "amqp://"), "amqps://", ErrorKind::Config),
    ] {
        let manager = AmqpManager::new(&url, AmqpOptions::default()).unwrap();
        for error in [
            manager.publish("x".into()).await.unwrap_err(),
            manager.subscribe().await.unwrap_err(),
        ] {
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(
                text.starts_with("cannot use RabbitMQ") && text.contains(advice),
                "{text}"
            );
        }
        // One attempt was enough to say so: what is refused is not tried again.
        assert_eq!(manager.health().num_refusals, 2, "{url}");
    }
}
