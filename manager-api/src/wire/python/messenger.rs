//! The [`Messenger`] of the queue format: one channel for all messages.

use std::future::ready;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};

use super::{decode, encode};
use crate::measure::{self, Quantity};
use crate::message::{Envelope, Message};
use crate::wire::{Arrival, Arrivals, Messenger, Servers, Wire};
use crate::{ClientManager, Error, HostId, Incoming, NamespaceName};

/// The [wire](Wire) of python-socketio, over any manager.
#[derive(Clone, Copy, Debug, Default)]
pub struct Python;

impl Wire for Python {
    fn open(&self, manager: Arc<dyn ClientManager>, host_id: HostId) -> Result<Arc<dyn Messenger>, Error> {
        Ok(Self::messenger(manager, host_id))
    }
}

impl Python {
    /// Opens a messenger, which every manager can carry.
    pub(crate) fn messenger(manager: Arc<dyn ClientManager>, host_id: HostId) -> Arc<dyn Messenger> {
        Arc::new(PythonMessenger { manager, host_id })
    }
}

/// The messages of one process on the channel of a manager.
struct PythonMessenger {
    manager: Arc<dyn ClientManager>,
    host_id: HostId,
}

impl Messenger for PythonMessenger {
    fn manager(&self) -> &Arc<dyn ClientManager> {
        &self.manager
    }

    fn host_id(&self) -> &HostId {
        &self.host_id
    }

    fn publish(&self, message: Message) -> BoxFuture<'static, Result<(), Error>> {
        let bytes = encode(&Envelope {
            host_id: Some(self.host_id.clone()),
            message,
        });
        let manager = self.manager.clone();
        async move { measure::timed(Quantity::PublishTime, manager.publish(bytes)).await }.boxed()
    }

    fn receive(&self) -> BoxFuture<'_, Result<Arrivals, Error>> {
        async {
            let subscription = self.manager.subscribe().await?;
            let arrivals = subscription.filter_map(|incoming| {
                ready(match incoming {
                    // The servers report undecodable messages; most are for them.
                    Incoming::Message(bytes) => decode(&bytes).ok().map(Arrival::Message),
                    Incoming::Gap { reason } => Some(Arrival::Gap { reason }),
                })
            });
            Ok(arrivals.boxed())
        }
        .boxed()
    }

    fn servers<'a>(&'a self, _: &'a NamespaceName) -> BoxFuture<'a, Result<Servers, Error>> {
        ready(Ok(Servers::Announced)).boxed()
    }
}
