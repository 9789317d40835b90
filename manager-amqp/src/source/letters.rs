//! Dead letters: messages of a queue of their own, published with confirms.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};
use manager_api::source::Record;

use crate::connect::{Connector, Link};
use crate::error::{During, Failure, Step, Thing, Trouble};

/// The mark of a persistent message.
const PERSISTENT: u8 = 2;

/// The queue of dead letters, with a connection once there was one.
pub(super) struct Letters {
    queue: String,
    open: Option<(Link, Channel)>,
}

impl Letters {
    pub(super) fn new(queue: String) -> Self {
        Self { queue, open: None }
    }

    /// Stores a record with the reason; returns when the broker has confirmed it.
    pub(super) async fn store(&mut self, connector: &Connector, record: &Record, reason: &str) -> Result<(), Failure> {
        // Taken, so that a connection that failed is not used again.
        let (link, channel) = match self.open.take().filter(|(link, _)| link.is_up()) {
            Some(open) => open,
            None => connector.within_timeout(self.connect(connector)).await?,
        };
        let confirmation = connector.within_timeout(self.publish(&channel, record, reason)).await?;
        match confirmation {
            Confirmation::Ack(None) | Confirmation::NotRequested => {
                self.open = Some((link, channel));
                Ok(())
            }
            Confirmation::Ack(Some(_)) => {
                let text = format!("the queue of dead letters {:?} is gone", self.queue);
                Err(Failure::other(connector.label(), text))
            }
            Confirmation::Nack(_) => {
                let text = format!("the broker did not take a message for the queue {:?}", self.queue);
                Err(Failure::other(connector.label(), text))
            }
        }
    }

    /// Closes the connection.
    pub(super) async fn close(&mut self, limit: Duration) {
        if let Some((link, _)) = self.open.take() {
            link.close(limit).await;
        }
    }

    /// Connects, and declares the queue.
    async fn connect(&self, connector: &Connector) -> Result<(Link, Channel), Trouble> {
        let link = connector.connect("dead letters").await?;
        let channel = link.open_confirming().await?;
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(self.queue.as_str().into(), options, FieldTable::default());
        declared
            .await
            .during(|| Step::Declare(Thing::Queue(self.queue.clone())))?;
        Ok((link, channel))
    }

    async fn publish(&self, channel: &Channel, record: &Record, reason: &str) -> Result<Confirmation, Trouble> {
        let mut headers = FieldTable::default();
        let mut insert = |name: &str, value: &[u8]| {
            headers.insert(name.into(), AMQPValue::LongString(value.to_vec().into()));
        };
        for (name, value) in &record.headers {
            insert(name, value);
        }
        insert("sio-position", record.position.to_string().as_bytes());
        insert("sio-reason", reason.as_bytes());
        let mut properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_headers(headers);
        if let Some(id) = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()) {
            properties = properties.with_message_id(id.into());
        }
        // Where the queue is gone the message comes back.
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let key = self.queue.as_str().into();
        let confirm = channel
            .basic_publish("".into(), key, options, &record.body, properties)
            .await;
        let step = || Step::Publish(self.queue.clone());
        confirm.during(step)?.await.during(step)
    }
}
