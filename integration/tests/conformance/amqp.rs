//! RabbitMQ, in its flavours.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use integration::brokers::Flavour;
use integration::brokers::rabbitmq::{RabbitBroker, RabbitTls};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, HostId, ManagerOptions};
use manager_testkit::{Backend, Fault, OnLink};
use tokio::sync::Mutex;

use super::{Broker, why_not};

/// The most subscriptions that a case takes of one manager.
const MAX_SUBSCRIPTIONS: usize = 10;

struct Amqp<F> {
    broker: Broker<F>,
    /// Which managers were made, on which channel: queues are named after them.
    made: Mutex<Vec<(String, HostId)>>,
}

impl<F: Flavour> Amqp<F> {
    fn new(broker: Broker<F>) -> Self {
        Self {
            broker,
            made: Mutex::default(),
        }
    }
}

fn manager_at(url: &str, mut common: ManagerOptions) -> AmqpManager {
    // Cases that wait for the broker to come back mean a broker that does so within the deadline; this one boots for longer.
    if common.deadline == ManagerOptions::default().deadline {
        common.deadline = Duration::from_secs(60);
    }
    let options = AmqpOptions {
        common,
        ..AmqpOptions::default()
    };
    AmqpManager::new(url, options).unwrap()
}

#[async_trait]
impl<F: Flavour> Backend for Amqp<F> {
    async fn manager(&self, options: ManagerOptions) -> Arc<dyn ClientManager> {
        let channel = options.channel.clone();
        let manager = manager_at(&self.broker.url, options);
        let host_id = manager.host_id().unwrap();
        self.made.lock().await.push((channel, host_id));
        Arc::new(manager)
    }

    async fn stop(&self) {
        self.broker.stop().await;
    }

    async fn start(&self) {
        self.broker.start().await;
    }

    fn lacks(&self, fault: Fault) -> Option<&'static str> {
        why_not::<F>(fault)
    }

    async fn freeze(&self) -> bool {
        self.broker.freeze().await
    }

    async fn thaw(&self) {
        self.broker.thaw().await;
    }

    async fn manager_on_a_line(&self, options: ManagerOptions) -> Option<OnLink> {
        self.broker.on_a_line(|url| Arc::new(manager_at(url, options))).await
    }

    async fn num_consumers(&self, channel: &str) -> usize {
        let url = &self.broker.direct_urls[0];
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
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

/// Makes a module with the suite for each flavour.
macro_rules! flavours {
    ($($module:ident: $flavour:ty),* $(,)?) => {
        $(manager_testkit::conformance! {
            mod $module;
            shared: Amqp::new(Broker::<$flavour>::shared().await);
            private: Amqp::new(Broker::<$flavour>::private().await);
        })*

        pub(super) fn lacking() -> Vec<(&'static str, Fault, &'static str)> {
            [$(super::lacking::<$flavour>()),*].concat()
        }
    };
}

flavours! {
    plain: RabbitBroker,
    tls: RabbitTls,
}
