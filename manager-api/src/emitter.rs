//! The write side: emits from any process, without a server in it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::ack::AckTable;
use crate::{
    Answers, Broadcast, CallbackAddress, ClientManager, Emit, Envelope, Error, HostId, Incoming, LimitedLog, Message,
    Room, Scope, Sid, Sink, Subscription, wire,
};

/// Emits events to the clients of every server on a channel.
///
/// It holds a write-only manager: as long as no acknowledgement is asked for, nothing is subscribed to and nothing is left behind on the
/// broker. Cloning is cheap; clones share the connection.
///
/// ```
/// # use manager_api::{Emitter, MemoryBus};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), manager_api::Error> {
/// let emitter = Emitter::new(MemoryBus::new().manager("socketio"));
/// emitter.to("lobby").emit("job done", &serde_json::json!({"id": 7})).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Emitter {
    shared: Arc<Shared>,
}

impl Emitter {
    /// Makes an emitter over a manager, which is not connected before the first use.
    pub fn new(manager: impl ClientManager) -> Self {
        Self::from_arc(Arc::new(manager))
    }

    /// Makes an emitter over a manager that others use too.
    pub fn from_arc(manager: Arc<dyn ClientManager>) -> Self {
        let shared = Shared {
            manager,
            host_id: HostId::random(),
            acks: Arc::default(),
            listening: OnceCell::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Starts an event for everybody in `/`.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(self.shared.clone())
    }

    /// Starts an event in a namespace.
    pub fn of(&self, namespace: impl AsRef<str>) -> Broadcast {
        self.broadcast().of(namespace)
    }

    /// Starts an event for a room, or a client by its id, in `/`.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// Emits to everybody in `/`; see [`Broadcast::emit`].
    ///
    /// # Errors
    ///
    /// As [`Broadcast::emit`].
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> BoxFuture<'static, Result<(), Error>> {
        self.broadcast().emit(event, data)
    }

    /// Disconnects a client of `/`; see [`Broadcast::disconnect`].
    ///
    /// # Errors
    ///
    /// As [`Broadcast::disconnect`].
    pub fn disconnect(&self, sid: impl Into<Sid>) -> BoxFuture<'static, Result<(), Error>> {
        self.broadcast().disconnect(sid)
    }

    /// Returns the manager.
    pub fn manager(&self) -> &Arc<dyn ClientManager> {
        &self.shared.manager
    }

    /// Flushes what was emitted, then releases the manager.
    ///
    /// # Errors
    ///
    /// As [`ClientManager::close`].
    pub async fn close(&self) -> Result<(), Error> {
        self.shared.manager.close().await
    }
}

impl std::fmt::Debug for Emitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emitter")
            .field("host_id", &self.shared.host_id)
            .finish_non_exhaustive()
    }
}

struct Shared {
    manager: Arc<dyn ClientManager>,
    host_id: HostId,
    acks: Arc<AckTable>,
    /// Ends the listening task when the last clone of the emitter is gone.
    listening: OnceCell<AbortOnDrop>,
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    fn publish(&self, message: Message) -> BoxFuture<'static, Result<(), Error>> {
        let envelope = Envelope {
            host_id: Some(self.host_id.clone()),
            message,
        };
        let bytes = wire::encode(&envelope);
        let manager = self.manager.clone();
        async move { manager.publish(bytes).await }.boxed()
    }

    /// Subscribes before the first question is asked, so that no answer can be missed.
    async fn listen(&self) -> Result<(), Error> {
        let start = || async {
            let subscription = self.manager.subscribe().await?;
            let task = collect(subscription, self.acks.clone(), self.host_id.clone());
            Ok(AbortOnDrop(tokio::spawn(task)))
        };
        self.listening.get_or_try_init(start).await.map(|_| ())
    }
}

impl Sink for Shared {
    fn emit(self: Arc<Self>, emit: Emit, scope: Scope) -> BoxFuture<'static, Result<(), Error>> {
        match scope {
            Scope::Cluster => self.publish(Message::Emit(emit)),
            Scope::Local => std::future::ready(Ok(())).boxed(),
        }
    }

    fn emit_with_ack(self: Arc<Self>, mut emit: Emit, scope: Scope, timeout: Duration) -> BoxFuture<'static, Answers> {
        async move {
            let (id, mut answers) = self.acks.ask(Default::default(), scope == Scope::Cluster, timeout);
            if scope == Scope::Local {
                answers.no_more();
                return answers;
            }
            emit.callback = Some(CallbackAddress {
                room: emit.target.single().cloned(),
                namespace: emit.namespace.clone(),
                id,
            });
            emit.ack_timeout = Some(timeout);
            let asked = match self.listen().await {
                Ok(()) => self.publish(Message::Emit(emit)).await,
                Err(error) => Err(error),
            };
            if let Err(error) = asked {
                answers.fail(error);
                answers.no_more();
            }
            answers
        }
        .boxed()
    }

    fn command(self: Arc<Self>, message: Message) -> BoxFuture<'static, Result<(), Error>> {
        self.publish(message)
    }
}

/// Hands the callbacks that are meant for this emitter to whoever waits for them.
async fn collect(mut subscription: Subscription, acks: Arc<AckTable>, host_id: HostId) {
    static GAP: LimitedLog = LimitedLog::new();
    while let Some(incoming) = subscription.recv().await {
        match incoming {
            Incoming::Message(message) => take_callback(&message, &acks, &host_id),
            Incoming::Gap { reason } => {
                if let Some(suppressed) = GAP.pass() {
                    tracing::warn!(suppressed, %reason, "answers to this emitter may have been missed");
                }
            }
        }
    }
}

fn take_callback(message: &Bytes, acks: &AckTable, host_id: &HostId) {
    // Whatever else passes on the channel, undecodable messages included, is for the servers.
    if let Ok(Envelope {
        host_id: Some(host),
        message: Message::Callback(callback),
    }) = wire::decode(message)
        && host == *host_id
    {
        acks.answer_from_afar(callback);
    }
}
