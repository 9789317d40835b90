//! RabbitMQ over TLS.

use integration::brokers::RabbitBroker;
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, ErrorKind, Incoming};

use crate::support::make_certificates;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_and_a_certificate_of_our_own() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let path = folder.path().display();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let lines = format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {path}/ca.pem\nssl_options.certfile = {path}/own.pem\n\
         ssl_options.keyfile = {path}/own.key\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true"
    );
    let _broker = RabbitBroker::start_with(&[&lines]).await;
    let url = format!("amqps://guest:guest@127.0.0.1:{port}//?ca={path}/ca.pem");
    let mut options = AmqpOptions::default();
    options.tls.client_identity = Some((folder.path().join("own.pem"), folder.path().join("own.key")));
    let manager = AmqpManager::new(&url, options.clone()).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("there and back".into()).await.unwrap();
    assert_eq!(
        subscription.recv().await,
        Some(Incoming::Message("there and back".into()))
    );

    options.common.deadline = std::time::Duration::from_secs(2);
    let unknown = AmqpManager::new(&format!("amqps://127.0.0.1:{port}"), options).unwrap();
    let error = unknown.publish("x".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("certificate"), "{error}");
}
