//! RabbitMQ: logins, virtual hosts, rights, declarations, alarms, other exchanges.

use integration::brokers::rabbitmq::RabbitTls;
use integration::brokers::{Flavour, RabbitBroker, unique_channel};
use integration::python::PyManager;
use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use tokio::net::TcpListener;

use super::{Diagnosis, a_channel_with_a_server_is_healthy, server};

/// Declares an exchange, as another program does.
async fn declare(url: &str, exchange: &str, kind: ExchangeKind) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let options = ExchangeDeclareOptions::default();
    let declared = channel.exchange_declare(exchange.into(), kind, options, FieldTable::default());
    declared.await.unwrap();
    connection.close(200, "bye".into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_channel_is_called_healthy() {
    a_channel_with_a_server_is_healthy(RabbitBroker::shared().await.url(), &unique_channel()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_python_socketio_is_heard_of() {
    super::a_server_of_python_socketio_is_heard_of_by_the_broker(PyManager::AioPika).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_silent_behind_or_of_another_time_and_pickles_are_named() {
    let url = RabbitBroker::shared().await.url();
    super::servers_and_publishers_that_are_not_well_are_named(url, &unique_channel()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_of_another_type_is_named() {
    let url = RabbitBroker::shared().await.url();
    let channel = unique_channel();
    declare(url, &channel, ExchangeKind::Direct).await;
    let diagnosis = Diagnosis::of(url, &channel, &[]).await;
    diagnosis
        .names("foreign-exchange", "direct")
        .names("foreign-exchange", "fanout")
        .lacks("no-server");
}

/// One after the other, on one broker, which takes long to start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_misconfiguration_of_a_broker_is_named() {
    let tls = RabbitTls::try_start().await.unwrap();
    ways_to_the_broker(&tls).await;
    let broker = tls.server();
    missing_rights(broker).await;
    channels(broker).await;

    let guest = broker.url();
    broker
        .control(&["set_vhost_limits", "-p", "/", r#"{"max-queues": 0}"#])
        .await;
    let diagnosis = Diagnosis::of(&guest, "socketio", &[]).await;
    diagnosis.names("queue-refused", "limit").lacks("no-server");
    broker.control(&["clear_vhost_limits", "-p", "/"]).await;

    broker.raise_memory_alarm().await;
    let alarm = Diagnosis::of(&guest, "socketio", &["--timeout", "8s"]).await;
    alarm
        .names("broker-alarm", "takes no messages")
        .names("broker-alarm", "vm_memory_high_watermark");
}

/// The address, TLS, the login, the virtual host.
async fn ways_to_the_broker(tls: &RabbitTls) {
    let address = tls.server().address();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let absent = format!("amqp://me:hunter2@{}", closed.local_addr().unwrap());
    drop(closed);
    let untrusted = tls.url().split('?').next().unwrap().to_owned();
    for (url, code, text) in [
        (absent, "unreachable", "connection refused"),
        (untrusted, "tls", "not trusted"),
        (format!("amqps://guest:guest@{address}"), "tls", "not TLS"),
        (format!("amqp://guest:hunter2@{address}"), "login", "password is wrong"),
        (
            format!("amqp://guest:guest@{address}/nope"),
            "virtual-host",
            "no such virtual host",
        ),
    ] {
        let diagnosis = Diagnosis::of(&url, "socketio", &["--timeout", "8s"]).await;
        diagnosis.names(code, text).lacks("no-server");
    }
}

async fn missing_rights(broker: &RabbitBroker) {
    for (user, [configure, write, read], right) in [
        ("nothing", ["^$", ".*", ".*"], "\"configure\" on the exchange"),
        (
            "emitter",
            ["^socketio$", "^socketio$", "^$"],
            "\"configure\" on the queue",
        ),
    ] {
        broker.control(&["add_user", user, "s3cret"]).await;
        broker.control(&["set_permissions", user, configure, write, read]).await;
        let url = format!("amqp://{user}:s3cret@{}", broker.address());
        let diagnosis = Diagnosis::of(&url, "socketio", &[]).await;
        diagnosis.names("missing-right", right).lacks("no-server");
    }
}

/// A channel on which no process listens, then one with a server.
async fn channels(broker: &RabbitBroker) {
    let url = broker.url();
    let alone = Diagnosis::of(&url, "socketio", &[]).await;
    alone.names("no-server", "no process listens").lacks("other-channel");
    declare(&url, "flask-socketio", ExchangeKind::Fanout).await;
    let beside = Diagnosis::of(&url, "socketio", &[]).await;
    beside.names("other-channel", "flask-socketio");
    let _server = server(&url, "socketio").await;
    Diagnosis::of(&url, "socketio", &[]).await.is_healthy();
}
