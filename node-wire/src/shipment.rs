//! Messages as they are handed to the broker.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use manager_api::measure::{self, Quantity};
use manager_api::topics::{Attachment, Attachments, Entry, Stream, Topic, Topics};
use manager_api::wire::Encoded;
use manager_api::{ClientManager, Error};

/// A message as it is handed to the broker.
pub(crate) enum Shipment {
    /// To a topic.
    Publish(Topic, Bytes),
    /// To a topic, by way of a table.
    Attach(Topic, Attachment, Bytes),
    /// To a stream.
    Append(Stream, Entry),
}

impl Shipment {
    fn size(&self) -> usize {
        match self {
            Self::Publish(_, message) | Self::Attach(_, _, message) => message.len(),
            Self::Append(_, entry) => entry.size(),
        }
    }

    /// Hands it to the broker.
    pub(crate) async fn send(self, manager: &dyn ClientManager) -> Result<(), Error> {
        let sent = async {
            match self {
                Self::Publish(topic, message) => topics(manager).publish_to(&topic, message).await,
                Self::Attach(topic, attachment, message) => {
                    attachments(manager).publish_attached(&topic, attachment, message).await
                }
                Self::Append(stream, entry) => topics(manager).append(&stream, entry).await,
            }
        };
        measure::timed(Quantity::PublishTime, sent).await
    }
}

/// Returns messages that are handed over one after the other.
pub(crate) fn encoded(shipments: Vec<Shipment>, manager: Arc<dyn ClientManager>) -> Encoded {
    let size = shipments.iter().map(Shipment::size).sum();
    let publish = async move {
        for shipment in shipments {
            shipment.send(&*manager).await?;
        }
        Ok(())
    };
    Encoded {
        size,
        publish: publish.boxed(),
    }
}

/// Returns the topics of a manager that was checked to have some.
pub(crate) fn topics(manager: &dyn ClientManager) -> &dyn Topics {
    manager
        .topics()
        .expect("the wire was opened over a manager with topics")
}

/// Returns the attachments of a manager that was checked to have some.
pub(crate) fn attachments(manager: &dyn ClientManager) -> &dyn Attachments {
    let attachments = topics(manager).attachments();
    attachments.expect("the wire was opened over a manager with attachments")
}
