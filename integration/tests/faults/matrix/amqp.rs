//! RabbitMQ: a queue outlives connections, but its bindings, its exchange or the queue itself may be deleted.

use std::sync::Arc;
use std::time::Duration;

use integration::brokers::{RabbitBroker, unique_channel};
use integration::proxy::TcpProxy;
use lapin::options::{ExchangeDeleteOptions, QueueBindOptions, QueueDeleteOptions, QueuePurgeOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use manager_amqp::{AmqpManager, AmqpOptions, QueueKind};
use manager_api::ClientManager;
use tokio::time::Instant;

use super::Run;
use super::outage::{OUTAGE, stand_still};
use super::run::options;

/// Within this a listener is to find out, under load from others, that nothing leads to its queue.
const SOON: Duration = Duration::from_secs(8);

/// A run whose listener's queue is known.
struct Row {
    broker: RabbitBroker,
    run: Run,
    queue: String,
}

fn on(channel: &str) -> AmqpOptions {
    AmqpOptions {
        common: options(channel),
        heartbeat: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(2),
        ..AmqpOptions::default()
    }
}

impl Row {
    async fn start() -> Self {
        Self::start_with(RabbitBroker::start().await, |_| {}).await
    }

    async fn start_with(broker: RabbitBroker, adapt: impl FnOnce(&mut AmqpOptions)) -> Self {
        let url = broker.url();
        Self::start_at(broker, &url, adapt).await
    }

    /// Starts a row whose listener connects through a proxy.
    async fn start_behind_proxy(broker: RabbitBroker) -> (Self, TcpProxy) {
        let (proxy, through) = TcpProxy::before(&broker.url()).await;
        (Self::start_at(broker, &through, |_| {}).await, proxy)
    }

    async fn start_at(broker: RabbitBroker, listen_at: &str, adapt: impl FnOnce(&mut AmqpOptions)) -> Self {
        let channel = unique_channel();
        let mut options = on(&channel);
        adapt(&mut options);
        let listener = AmqpManager::new(listen_at, options).unwrap();
        let queue = format!("sio.{}", listener.host_id().unwrap());
        let run = Run::start_with(Arc::new(listener), &broker.url(), &channel).await;
        Self { broker, run, queue }
    }

    /// A way in for an operator. The connection lasts as long as the channel.
    async fn operator(&self) -> Channel {
        let connection = Connection::connect(&self.broker.url(), ConnectionProperties::default()).await;
        connection.unwrap().create_channel().await.unwrap()
    }

    async fn unbind(&self, operator: &Channel) {
        let (queue, exchange) = (self.queue.as_str(), self.run.channel.as_str());
        let unbound = operator.queue_unbind(queue.into(), exchange.into(), "".into(), FieldTable::default());
        unbound.await.unwrap();
    }

    async fn bind(&self, operator: &Channel) {
        let (queue, exchange) = (self.queue.as_str(), self.run.channel.as_str());
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let bound = operator.queue_bind(queue.into(), exchange.into(), "".into(), options, arguments);
        bound.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_is_deleted_loses_nothing_silently() {
    let row = Row::start().await;
    let operator = row.operator().await;
    for round in 1..=2 {
        let deleted = operator.exchange_delete(row.run.channel.as_str().into(), ExchangeDeleteOptions::default());
        deleted.await.unwrap();
        let since = Instant::now();
        row.run.until_gaps(round).await;
        assert!(since.elapsed() < SOON, "deaf for {:?}", since.elapsed());
        row.run.flows(100).await;
    }
    row.run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_unbound_loses_nothing_silently() {
    let row = Row::start().await;
    let operator = row.operator().await;
    row.unbind(&operator).await;
    let since = Instant::now();
    row.run.until_gaps(1).await;
    assert!(since.elapsed() < SOON, "deaf for {:?}", since.elapsed());
    row.run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_unbound_and_bound_again_at_once_loses_nothing_silently() {
    let row = Row::start().await;
    let operator = row.operator().await;
    row.unbind(&operator).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    row.bind(&operator).await;
    row.run.until_gaps(1).await;
    row.run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_unbound_while_its_server_is_cut_off_loses_nothing_silently() {
    let (row, proxy) = Row::start_behind_proxy(RabbitBroker::start().await).await;
    let operator = row.operator().await;
    proxy.cut().await;
    row.unbind(&operator).await;
    proxy.restore();
    row.run.until_gaps(1).await;
    row.run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_deleted_loses_nothing_silently() {
    let row = Row::start().await;
    let operator = row.operator().await;
    let deleted = operator.queue_delete(row.queue.as_str().into(), QueueDeleteOptions::default());
    deleted.await.unwrap();
    row.run.until_gaps(1).await;
    row.run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_emptied_while_its_server_is_cut_off_loses_nothing_silently() {
    let (row, proxy) = Row::start_behind_proxy(RabbitBroker::start().await).await;
    let operator = row.operator().await;
    proxy.cut().await;
    // Something is in it.
    tokio::time::sleep(OUTAGE / 8).await;
    let purged = operator.queue_purge(row.queue.as_str().into(), QueuePurgeOptions::default());
    purged.await.unwrap();
    proxy.restore();
    row.run.until_gaps(1).await;
    row.run.balance().await.assert_loss_is_admitted();
}

/// The exchange is python-socketio's, which ends with the broker, while the queue stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_queue_without_its_exchange_after_a_restart_loses_nothing_silently() {
    let mut row = Row::start_with(RabbitBroker::start().await, |options| {
        options.queue.kind = QueueKind::Durable;
    })
    .await;
    row.broker.restart().await;
    row.run.until_gaps(1).await;
    row.run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transient_queue_after_a_restart_loses_nothing_silently() {
    let mut row = Row::start_with(RabbitBroker::start().await, |options| {
        options.queue.kind = QueueKind::Transient;
    })
    .await;
    row.broker.kill();
    row.broker.restart().await;
    row.run.until_gaps(1).await;
    row.run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_queue_loses_nothing_silently_when_it_is_unbound_or_cut_off() {
    let row = Row::start_with(RabbitBroker::start().await, |options| {
        options.queue.kind = QueueKind::Quorum;
    })
    .await;
    row.broker.control(&["close_all_connections", "because"]).await;
    row.run.flows(100).await;
    let operator = row.operator().await;
    row.unbind(&operator).await;
    row.run.until_gaps(1).await;
    row.run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stands_still_loses_nothing_silently() {
    let row = Row::start().await;
    stand_still(&row.broker).await;
    row.run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_an_operator_closes_lose_nothing_silently() {
    let row = Row::start().await;
    for _ in 0..3 {
        row.broker.control(&["close_all_connections", "because"]).await;
        row.run.flows(100).await;
    }
    row.run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_limits_queues_loses_nothing_silently() {
    let broker = RabbitBroker::start().await;
    let policy = [
        "set_policy",
        "short",
        "^sio\\.",
        r#"{"max-length":50}"#,
        "--apply-to",
        "queues",
    ];
    broker.control(&policy).await;
    let (row, proxy) = Row::start_behind_proxy(broker).await;
    proxy.cut().await;
    tokio::time::sleep(OUTAGE / 4).await;
    proxy.restore();
    row.run.until_gaps(1).await;
    row.run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_loses_nothing_silently() {
    let row = Row::start().await;
    row.broker.raise_memory_alarm().await;
    tokio::time::sleep(OUTAGE).await;
    row.broker.clear_memory_alarm().await;
    row.run.balance().await.assert_nothing_lost();
}
