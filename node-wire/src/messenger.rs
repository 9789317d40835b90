//! The messages of one process to and from a fleet of Node servers.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use manager_api::measure::{self, Quantity};
use manager_api::message::Envelope;
use manager_api::topics::{Entry, Stream, Topic, Topics};
use manager_api::wire::{Arrivals, Encoded, Messenger, Process, Servers};
use manager_api::{ClientManager, Error, NamespaceName};
use tokio::sync::Mutex;

use crate::format::{Json, MsgPack};
use crate::listener::Listening;
use crate::outgoing::{Outgoing, translate};
use crate::plan::{Adapter, Plan};
use crate::{classic, cluster};

/// The messages of one process.
pub(crate) struct NodeMessenger {
    pub(crate) manager: Arc<dyn ClientManager>,
    pub(crate) process: Process,
    /// The id of this process on the wire: 16 hexadecimal digits, as those of Node's servers.
    pub(crate) uid: Arc<str>,
    pub(crate) plan: Plan,
    /// Where responses arrive, once the first request was sent.
    pub(crate) listening: Mutex<Option<Listening>>,
}

/// A message as it is handed to the broker.
enum Shipment {
    Publish(Topic, Bytes),
    Append(Stream, Entry),
}

impl Shipment {
    fn encoded(self, manager: Arc<dyn ClientManager>) -> Encoded {
        let size = match &self {
            Self::Publish(_, message) => message.len(),
            Self::Append(_, entry) => entry.size(),
        };
        let publish = async move {
            let topics = topics(&*manager);
            match self {
                Self::Publish(topic, message) => {
                    measure::timed(Quantity::PublishTime, topics.publish_to(&topic, message)).await
                }
                Self::Append(stream, entry) => {
                    measure::timed(Quantity::PublishTime, topics.append(&stream, entry)).await
                }
            }
        };
        Encoded {
            size,
            publish: publish.boxed(),
        }
    }
}

/// What a message becomes of which nothing is sent.
fn nothing(outcome: Result<(), Error>) -> Encoded {
    Encoded {
        size: 0,
        publish: ready(outcome).boxed(),
    }
}

impl NodeMessenger {
    pub(crate) fn new(manager: Arc<dyn ClientManager>, process: Process, plan: Plan) -> Self {
        let uid = format!("{:016x}", fastrand::u64(..));
        Self {
            manager,
            process,
            uid: uid.into(),
            plan,
            listening: Mutex::default(),
        }
    }

    /// Encodes a message and chooses its topic.
    fn shipment(&self, outgoing: &Outgoing) -> Shipment {
        let (plan, uid) = (&self.plan, &*self.uid);
        let servers = || plan.servers(&outgoing.namespace);
        let stream = || plan.stream(&outgoing.namespace);
        match plan.adapter {
            Adapter::Classic => Shipment::Publish(plan.classic_topic(outgoing), classic::encode(outgoing, uid).into()),
            Adapter::Sharded if outgoing.has_binary() => {
                Shipment::Publish(servers(), cluster::message::<MsgPack>(outgoing, uid))
            }
            Adapter::Sharded => Shipment::Publish(servers(), cluster::message::<Json>(outgoing, uid)),
            Adapter::Streams if outgoing.expects_response() => {
                Shipment::Publish(servers(), cluster::message::<MsgPack>(outgoing, uid))
            }
            // Any other id than that of emitters would make the older servers wait for our responses.
            Adapter::Streams | Adapter::OldStreams => {
                Shipment::Append(stream(), cluster::entry(outgoing, cluster::EMITTER, uid))
            }
        }
    }
}

impl Messenger for NodeMessenger {
    fn manager(&self) -> &Arc<dyn ClientManager> {
        &self.manager
    }

    fn process(&self) -> &Process {
        &self.process
    }

    fn encode(&self, envelope: Envelope) -> Encoded {
        match translate(envelope.message) {
            Ok(Some(outgoing)) => self.shipment(&outgoing).encoded(self.manager.clone()),
            Ok(None) => nothing(Ok(())),
            Err(error) => nothing(Err(error)),
        }
    }

    fn receive(&self) -> BoxFuture<'_, Result<Arrivals, Error>> {
        async {
            let (listening, arrivals) = Listening::new();
            *self.listening.lock().await = Some(listening);
            Ok(arrivals)
        }
        .boxed()
    }

    fn servers<'a>(&'a self, namespace: &'a NamespaceName) -> BoxFuture<'a, Result<Servers, Error>> {
        async move {
            let live = self.listen(namespace).await?;
            if let Some(live) = live {
                return Ok(Servers::Named(live));
            }
            let topic = self.plan.servers(namespace);
            let count = topics(&*self.manager).count_subscribers(&topic).await?;
            Ok(Servers::Counted(usize::try_from(count).unwrap_or(usize::MAX)))
        }
        .boxed()
    }
}

/// Returns the topics of a manager that was checked to have some.
pub(crate) fn topics(manager: &dyn ClientManager) -> &dyn Topics {
    manager
        .topics()
        .expect("the wire was opened over a manager with topics")
}
