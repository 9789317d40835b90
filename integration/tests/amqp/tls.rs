//! RabbitMQ over TLS, with certificates on both sides.

use std::time::Duration;

use integration::brokers::Flavour;
use integration::brokers::rabbitmq::RabbitTls;
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, ErrorKind, Incoming};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_and_a_certificate_of_our_own() {
    let broker = RabbitTls::start_strict().await;
    let file = |name: &str| broker.certificates().join(name);
    let mut options = AmqpOptions::default();
    options.tls.client_identity = Some((file("own.pem"), file("own.key")));
    let manager = AmqpManager::new(&broker.url(), options.clone()).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("there and back".into()).await.unwrap();
    assert_eq!(
        subscription.recv().await,
        Some(Incoming::Message("there and back".into()))
    );

    options.common.deadline = Duration::from_secs(2);
    let unknown = AmqpManager::new(&broker.url_of_strangers(), options).unwrap();
    let error = unknown.publish("x".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("certificate"), "{error}");
}
