//! The [`Messenger`] of the queue format: one channel for all messages.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt};

use super::{DecodeLimits, OwnMark, decode_within, encode, is_presence};
use crate::measure::{self, Quantity};
use crate::message::Envelope;
use crate::wire::{Arrival, Arrivals, Encoded, Messenger, Process, Servers, Wire};
use crate::{ClientManager, Error, Incoming, NamespaceName, Subscription};

/// The [wire](Wire) of python-socketio, over any manager.
#[derive(Clone, Copy, Debug, Default)]
pub struct Python;

impl Wire for Python {
    fn check(&self, _: &dyn ClientManager) -> Result<(), Error> {
        Ok(())
    }

    fn open(&self, manager: Arc<dyn ClientManager>, process: Process) -> Result<Arc<dyn Messenger>, Error> {
        Ok(Self::messenger(manager, process))
    }
}

impl Python {
    /// Opens a messenger, which every manager can carry.
    pub fn messenger(manager: Arc<dyn ClientManager>, process: Process) -> Arc<dyn Messenger> {
        Arc::new(PythonMessenger { manager, process })
    }
}

/// The messages of one process on the channel of a manager.
struct PythonMessenger {
    manager: Arc<dyn ClientManager>,
    process: Process,
}

impl Messenger for PythonMessenger {
    fn manager(&self) -> &Arc<dyn ClientManager> {
        &self.manager
    }

    fn process(&self) -> &Process {
        &self.process
    }

    fn encode(&self, envelope: Envelope) -> Encoded {
        let bytes = encode(&envelope);
        let (size, manager) = (bytes.len(), self.manager.clone());
        let publish = async move { measure::timed(Quantity::PublishTime, manager.publish(bytes)).await };
        Encoded {
            size,
            publish: publish.boxed(),
        }
    }

    fn receive(&self) -> BoxFuture<'_, Result<Arrivals, Error>> {
        async {
            let arrivals = ChannelArrivals {
                subscription: self.manager.subscribe().await?,
                own_mark: OwnMark::new(&self.process.host_id),
                limits: self.process.limits,
            };
            Ok(arrivals.boxed())
        }
        .boxed()
    }

    fn servers<'a>(&'a self, _: &'a NamespaceName) -> BoxFuture<'a, Result<Servers, Error>> {
        ready(Ok(Servers::Announced)).boxed()
    }
}

/// The messages of a channel, decoded.
struct ChannelArrivals {
    subscription: Subscription,
    /// Recognises own messages before they are decoded.
    own_mark: OwnMark,
    limits: DecodeLimits,
}

impl ChannelArrivals {
    fn arrival(&self, message: &Bytes) -> Arrival {
        if self.own_mark.is_on(message) {
            let is_presence = is_presence(message);
            return Arrival::Own { is_presence };
        }
        match decode_within(message, self.limits) {
            Ok(envelope) => Arrival::Message(envelope),
            Err(reason) => Arrival::Undecodable {
                reason: Box::new(reason),
                message: message.clone(),
            },
        }
    }
}

impl Stream for ChannelArrivals {
    type Item = Arrival;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Arrival>> {
        let incoming = ready!(self.subscription.poll_next_unpin(cx));
        Poll::Ready(incoming.map(|incoming| match incoming {
            Incoming::Message(message) => self.arrival(&message),
            Incoming::Gap { reason } => Arrival::Gap { reason },
        }))
    }
}
