//! A manager that records what it is to publish, and yields what a test puts in.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use manager_api::subscription::SubscriptionSender;
use manager_api::topics::{
    Attachment, Attachments, Delivery, Entry, Interest, InterestChanges, RowOf, Stream, Topic, Topics,
};
use manager_api::{ClientManager, Emitter, Error, Subscription, async_trait};
use tokio::sync::mpsc;

use crate::NodeWire;

/// What was handed to the broker.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sent {
    Message {
        topic: String,
        is_sharded: bool,
        bytes: Bytes,
    },
    Attached {
        topic: String,
        table: String,
        /// With the number 7.
        notice: String,
        bytes: Bytes,
    },
    Entry {
        stream: String,
        max_len: u64,
        entry: Entry,
    },
}

/// A broker with a number of Node servers, played by the test.
pub(super) struct Broker {
    sent: mpsc::UnboundedSender<Sent>,
    servers: u64,
    /// Whether it is a database.
    has_attachments: bool,
    subscriptions: Mutex<Vec<(Vec<Interest>, SubscriptionSender<Delivery>)>>,
}

/// An emitter of a wire on such a broker, and what it sends.
pub(super) fn emitter(wire: &NodeWire, servers: u64) -> (Emitter, Arc<Broker>, mpsc::UnboundedReceiver<Sent>) {
    let (sent, received) = mpsc::unbounded_channel();
    let broker = Arc::new(Broker {
        sent,
        servers,
        has_attachments: wire.needs_attachments(),
        subscriptions: Mutex::default(),
    });
    let emitter = Emitter::with_wire(broker.clone(), wire).unwrap();
    (emitter, broker, received)
}

impl Broker {
    /// Returns what the only subscription is interested in.
    pub(super) fn interests(&self) -> Vec<Interest> {
        self.subscriptions.lock().unwrap()[0].0.clone()
    }

    /// Delivers to the only subscription.
    pub(super) async fn deliver(&self, delivery: Delivery) {
        let sender = self.subscriptions.lock().unwrap()[0].1.clone();
        sender.message(delivery).await.unwrap();
    }

    /// Delivers a message to the only subscription.
    pub(super) async fn respond(&self, message: impl Into<Bytes>) {
        let (topic, message) = (Bytes::from_static(b"responses"), message.into());
        self.deliver(Delivery::Message { topic, message }).await;
    }
}

#[async_trait]
impl ClientManager for Broker {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        panic!("nothing is published on the manager's channel: {message:?}")
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        panic!("the manager's channel is not subscribed to")
    }

    async fn close(&self) -> Result<(), Error> {
        self.subscriptions.lock().unwrap().clear();
        Ok(())
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}

#[async_trait]
impl Topics for Broker {
    async fn publish_to(&self, topic: &Topic, message: Bytes) -> Result<(), Error> {
        let sent = Sent::Message {
            topic: topic.name.to_string(),
            is_sharded: topic.is_sharded,
            bytes: message,
        };
        self.sent.send(sent).unwrap();
        Ok(())
    }

    async fn append(&self, stream: &Stream, entry: Entry) -> Result<(), Error> {
        let sent = Sent::Entry {
            stream: stream.name.to_string(),
            max_len: stream.max_len,
            entry,
        };
        self.sent.send(sent).unwrap();
        Ok(())
    }

    async fn subscribe_to(&self, interests: Vec<Interest>) -> Result<Subscription<Delivery>, Error> {
        let (sender, subscription) = Subscription::channel_of(1 << 20);
        self.subscriptions.lock().unwrap().push((interests, sender));
        Ok(subscription)
    }

    async fn subscribe_to_changing(&self, changes: InterestChanges) -> Result<Subscription<Delivery>, Error> {
        self.subscribe_to(changes.begin()).await
    }

    async fn count_subscribers(&self, _: &Topic) -> Result<u64, Error> {
        Ok(self.servers)
    }

    async fn find_sharded(&self, _: &str, _: usize) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    fn attachments(&self) -> Option<&dyn Attachments> {
        self.has_attachments.then_some(self as &dyn Attachments)
    }
}

#[async_trait]
impl Attachments for Broker {
    fn max_message_len(&self) -> usize {
        7_999
    }

    async fn publish_attached(&self, topic: &Topic, attachment: Attachment, bytes: Bytes) -> Result<(), Error> {
        let Attachment { table, before, after } = attachment;
        let sent = Sent::Attached {
            topic: topic.name.to_string(),
            table: table.to_string(),
            notice: format!("{before}7{after}"),
            bytes,
        };
        self.sent.send(sent).unwrap();
        Ok(())
    }

    async fn subscribe_attached(
        &self,
        topics: Vec<Topic>,
        _: Arc<str>,
        _: RowOf,
    ) -> Result<Subscription<Delivery>, Error> {
        self.subscribe_to(topics.into_iter().map(Interest::Topic).collect())
            .await
    }

    async fn delete_attached(&self, _: Arc<str>, _: Duration) -> Result<(), Error> {
        Ok(())
    }
}

/// Returns what is sent next.
pub(super) async fn next(sent: &mut mpsc::UnboundedReceiver<Sent>) -> Sent {
    tokio::time::timeout(Duration::from_secs(5), sent.recv())
        .await
        .expect("nothing was sent")
        .unwrap()
}

/// Returns the ids of the sender and of the request.
pub(super) fn ids(sent: &Sent) -> (String, String) {
    let (Sent::Message { bytes, .. } | Sent::Attached { bytes, .. }) = sent else {
        panic!("{sent:?}")
    };
    let json = match bytes[0] {
        b'{' => String::from_utf8(bytes.to_vec()).unwrap(),
        _ => msgpack::Reader::new(bytes, msgpack::Limits::new(9, 999))
            .optional_json()
            .unwrap()
            .unwrap(),
    };
    let message: serde_json::Value = serde_json::from_str(&json).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let data = message.get("data").filter(|data| data.is_object()).unwrap_or(&message);
    (text(&message["uid"]), text(&data["requestId"]))
}
