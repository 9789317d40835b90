//! RabbitMQ: the conformance suite, faults, and what is declared.

mod faults;
mod tls;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use integration::brokers::RabbitBroker;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, HostId, ManagerOptions};
use manager_testkit::Backend;
use tokio::sync::Mutex;

/// The most subscriptions that a case takes of one manager.
const MAX_SUBSCRIPTIONS: usize = 10;

/// The RabbitMQ of all tests, or one that a case may take down.
struct Amqp {
    url: String,
    private: Option<Mutex<RabbitBroker>>,
    /// Which managers were made, on which channel: queues are named after them.
    made: Mutex<Vec<(String, HostId)>>,
}

impl Amqp {
    async fn shared() -> Self {
        Self {
            url: RabbitBroker::shared().await.url().to_owned(),
            private: None,
            made: Mutex::default(),
        }
    }

    async fn private() -> Self {
        let broker = RabbitBroker::start().await;
        Self {
            url: broker.url(),
            private: Some(Mutex::new(broker)),
            made: Mutex::default(),
        }
    }

    fn own(&self) -> &Mutex<RabbitBroker> {
        self.private.as_ref().expect("the broker of all tests stays up")
    }
}

#[async_trait]
impl Backend for Amqp {
    async fn manager(&self, mut common: ManagerOptions) -> Arc<dyn ClientManager> {
        // Cases that wait for the broker to come back mean a broker that does so within the deadline; this one boots for longer.
        if common.deadline == ManagerOptions::default().deadline {
            common.deadline = Duration::from_secs(60);
        }
        let channel = common.channel.clone();
        let options = AmqpOptions {
            common,
            ..AmqpOptions::default()
        };
        let manager = AmqpManager::new(&self.url, options).unwrap();
        let host_id = manager.host_id().unwrap();
        self.made.lock().await.push((channel, host_id));
        Arc::new(manager)
    }

    async fn stop(&self) {
        self.own().lock().await.kill();
    }

    async fn start(&self) {
        self.own().lock().await.restart().await;
    }

    async fn num_consumers(&self, channel: &str) -> usize {
        let connection = Connection::connect(&self.url, ConnectionProperties::default())
            .await
            .unwrap();
        let mut count = 0;
        for (on, host_id) in &*self.made.lock().await {
            if on != channel {
                continue;
            }
            count += usize::from(exists(&connection, &format!("sio.{host_id}")).await);
            for number in 2..=MAX_SUBSCRIPTIONS {
                count += usize::from(exists(&connection, &format!("sio.{host_id}.{number}")).await);
            }
        }
        connection.close(200, "bye".into()).await.unwrap();
        count
    }
}

/// Asks for a queue, on a channel that the broker closes to say no.
async fn exists(connection: &Connection, queue: &str) -> bool {
    let channel = connection.create_channel().await.unwrap();
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let asked = channel.queue_declare(queue.into(), options, FieldTable::default());
    asked.await.is_ok()
}

manager_testkit::conformance! {
    mod conformance;
    shared: Amqp::shared().await;
    private: Amqp::private().await;
}
