//! The suite on the flavours of RabbitMQ.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use integration::brokers::rabbitmq::{RabbitBroker, RabbitTls};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, HostId, ManagerOptions};
use manager_testkit::Fault;

use super::{Broker, Managers};

/// The most subscriptions that a case takes of one manager.
const MAX_SUBSCRIPTIONS: usize = 10;

/// Managers over RabbitMQ.
struct Amqp;

#[async_trait]
impl Managers for Amqp {
    const NO_LOG: Option<&'static str> = Some("a queue keeps what one server has not read yet, and no more");
    const NO_TOPICS: Option<&'static str> = Some("the wires that need topics are not spoken over AMQP");
    fn manager(url: &str, mut common: ManagerOptions) -> Arc<dyn ClientManager> {
        // Cases that wait for the broker to come back mean a broker that does so within the deadline; this one boots for longer.
        if common.deadline == ManagerOptions::default().deadline {
            common.deadline = Duration::from_secs(60);
        }
        let options = AmqpOptions {
            common,
            ..AmqpOptions::default()
        };
        Arc::new(AmqpManager::new(url, options).unwrap())
    }

    /// Queues are named after the managers.
    async fn num_consumers(direct_urls: &[String], _: &str, made: &[HostId]) -> usize {
        let url = &direct_urls[0];
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let mut count = 0;
        for host_id in made {
            count += usize::from(exists(&connection, &format!("sio.{host_id}")).await);
            for number in 2..=MAX_SUBSCRIPTIONS {
                count += usize::from(exists(&connection, &format!("sio.{host_id}.{number}")).await);
            }
        }
        connection.close(200, "bye".into()).await.unwrap();
        count
    }
}

/// Declares a queue, on a channel that the broker closes if it refuses.
async fn exists(connection: &Connection, queue: &str) -> bool {
    let channel = connection.create_channel().await.unwrap();
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let asked = channel.queue_declare(queue.into(), options, FieldTable::default());
    asked.await.is_ok()
}

flavours! {
    Amqp:
    plain: RabbitBroker,
    tls: RabbitTls,
}
