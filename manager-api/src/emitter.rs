//! The write side: emits from any process, without a server in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::ack::AckTable;
use crate::backend::deadline;
use crate::cluster::{self, Asker, in_time, left_until};
use crate::hub::cluster::server_event;
use crate::{
    Answers, Ask, Broadcast, CallbackAddress, Change, ClientManager, Emit, Envelope, Error, Escaped, Gathered, HostId,
    HubOptions, Incoming, LimitedLog, Message, Question, Replies, Room, Scope, Selection, ServerAnswer, Sid, Sink,
    Subscription, quietly, wire,
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
    /// Makes an emitter over a manager, which is not connected before the first use. A manager that others use too is given in an [`Arc`].
    pub fn new(manager: impl ClientManager) -> Self {
        Self::over(Arc::new(manager))
    }

    fn over(manager: Arc<dyn ClientManager>) -> Self {
        let (host_id, options) = (HostId::random(), HubOptions::default());
        let shared = Shared {
            manager,
            asker: Arc::new(Asker::new(host_id.clone(), options.limits())),
            max_timeout: options.max_ack_timeout,
            host_id,
            acks: Arc::default(),
            listening: Mutex::default(),
            is_sought: Mutex::default(),
            had_gap: Arc::default(),
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

    /// Asks which servers there are. The first question of an emitter subscribes, and waits a second for the servers to say that they are
    /// there; so does the first one after messages may have been missed.
    ///
    /// # Errors
    ///
    /// [`Busy`](crate::ErrorKind::Busy) if 1,024 questions are open, otherwise what [`ClientManager::subscribe`] and
    /// [`ClientManager::publish`] say. A server that does not answer is no error.
    pub async fn servers(&self, timeout: Duration) -> Result<Gathered<Vec<HostId>>, Error> {
        let replies = Sink::ask(self.shared.clone(), Ask::Servers, Scope::Cluster, timeout).await?;
        Ok(cluster::servers(replies).await)
    }

    /// Sends an event to every server, for the code there and not for clients.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::emit`].
    pub async fn server_side_emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), Error> {
        let question = Question {
            id: None,
            ask: server_event(event, data)?,
            timeout: self.shared.max_timeout,
        };
        self.shared.publish(Message::Ask(question)).await
    }

    /// Sends an event to every server and collects what they answer.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if event or payload cannot be used, otherwise as [`servers`](Self::servers).
    pub async fn server_side_call<T: Serialize + ?Sized>(
        &self,
        event: &str,
        data: &T,
        timeout: Duration,
    ) -> Result<Gathered<Vec<ServerAnswer>>, Error> {
        let ask = server_event(event, data)?;
        let replies = Sink::ask(self.shared.clone(), ask, Scope::Cluster, timeout).await?;
        Ok(cluster::servers_answers(replies).await)
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
    asker: Arc<Asker>,
    /// How long handlers of events for servers have when nobody waits for them.
    max_timeout: Duration,
    /// Ends the listening task when the last clone of the emitter is gone.
    listening: Mutex<Option<AbortOnDrop>>,
    /// The servers were asked to say that they are there.
    is_sought: Mutex<bool>,
    /// Servers may have come or gone since then without being heard.
    had_gap: Arc<AtomicBool>,
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

    /// Subscribes before the first question is asked, so that no answer can be missed, and again if the subscription has ended.
    async fn listen(&self) -> Result<(), Error> {
        let mut listening = self.listening.lock().await;
        if listening.as_ref().is_some_and(|task| !task.0.is_finished()) {
            return Ok(());
        }
        let subscription = self.manager.subscribe().await?;
        self.had_gap.store(true, Ordering::Relaxed);
        let task = collect(
            subscription,
            self.acks.clone(),
            self.asker.clone(),
            self.host_id.clone(),
            self.had_gap.clone(),
        );
        *listening = Some(AbortOnDrop(tokio::spawn(task)));
        Ok(())
    }

    /// Subscribes, and asks who is there, before the first question to servers, and before the first one after a gap.
    async fn find_servers(&self) -> Result<(), Error> {
        self.listen().await?;
        let mut is_sought = self.is_sought.lock().await;
        if self.had_gap.swap(false, Ordering::Relaxed) {
            *is_sought = false;
        }
        if !*is_sought {
            self.publish(Message::Seek).await?;
            self.asker.peers.sought(self.asker.limits.presence_wait);
            *is_sought = true;
        }
        Ok(())
    }

    async fn emit_asking(&self, mut emit: Emit, scope: Scope, deadline: Instant) -> Answers {
        let (others, timeout) = (scope == Scope::Cluster, left_until(deadline));
        let (id, mut answers) = self.acks.ask(Vec::new(), others, timeout, emit.report).await;
        if scope == Scope::Local {
            answers.no_more();
            return answers;
        }
        emit.callback = Some(CallbackAddress {
            room: emit.target.single().cloned(),
            namespace: emit.namespace.clone(),
            id,
        });
        let ask = async {
            self.listen().await?;
            emit.ack_timeout = Some(left_until(deadline));
            self.publish(Message::Emit(emit)).await
        };
        if let Err(error) = in_time(deadline, ask).await {
            answers.fail(error);
            answers.no_more();
        }
        answers
    }
}

impl Sink for Shared {
    fn emit(self: Arc<Self>, emit: Emit, scope: Scope) -> BoxFuture<'static, Result<(), Error>> {
        match scope {
            Scope::Cluster => self.publish(Message::Emit(emit)),
            Scope::Local => std::future::ready(Ok(())).boxed(),
        }
    }

    fn emit_with_ack(self: Arc<Self>, emit: Emit, scope: Scope, timeout: Duration) -> BoxFuture<'static, Answers> {
        async move { self.emit_asking(emit, scope, deadline::after(timeout)).await }.boxed()
    }

    fn emit_with_report(
        self: Arc<Self>,
        mut emit: Emit,
        scope: Scope,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<(Answers, Replies), Error>> {
        async move {
            let (others, deadline) = (scope == Scope::Cluster, deadline::after(timeout));
            if others {
                in_time(deadline, self.find_servers()).await?;
            }
            let (question, replies) = self.asker.open(others, deadline).await?;
            emit.report = Some(question);
            Ok((self.emit_asking(emit, scope, deadline).await, replies))
        }
        .boxed()
    }

    fn ask(self: Arc<Self>, ask: Ask, scope: Scope, timeout: Duration) -> BoxFuture<'static, Result<Replies, Error>> {
        async move {
            let deadline = deadline::after(timeout);
            match scope {
                Scope::Cluster => {
                    in_time(deadline, self.find_servers()).await?;
                    self.asker.ask(&*self.manager, ask, deadline).await
                }
                // An emitter has no clients.
                Scope::Local => Ok(self.asker.open(false, deadline).await?.1),
            }
        }
        .boxed()
    }

    fn change(
        self: Arc<Self>,
        clients: Selection,
        change: Change,
        scope: Scope,
    ) -> BoxFuture<'static, Result<(), Error>> {
        match scope {
            Scope::Cluster => self.publish(Message::Members { clients, change }),
            Scope::Local => std::future::ready(Ok(())).boxed(),
        }
    }

    fn max_sockets(&self) -> usize {
        self.asker.limits.max_sockets
    }

    fn command(self: Arc<Self>, message: Message, scope: Scope) -> BoxFuture<'static, Result<(), Error>> {
        match scope {
            Scope::Cluster => self.publish(message),
            Scope::Local => std::future::ready(Ok(())).boxed(),
        }
    }
}

/// Hands the callbacks and answers that are meant for this emitter to whoever waits for them.
async fn collect(
    mut subscription: Subscription,
    acks: Arc<AckTable>,
    asker: Arc<Asker>,
    host_id: HostId,
    had_gap: Arc<AtomicBool>,
) {
    static GAP: LimitedLog = LimitedLog::new();
    while let Some(incoming) = subscription.recv().await {
        match incoming {
            Incoming::Message(message) => take_answer(&message, &acks, &asker, &host_id),
            Incoming::Gap { reason } => {
                had_gap.store(true, Ordering::Relaxed);
                if let Some(suppressed) = GAP.pass() {
                    let reason = Escaped(reason);
                    quietly(|| tracing::warn!(suppressed, ?reason, "answers to this emitter may have been missed"));
                }
            }
        }
    }
}

fn take_answer(message: &Bytes, acks: &AckTable, asker: &Asker, host_id: &HostId) {
    // Whatever else passes on the channel, undecodable messages included, is for the servers.
    let Ok(Envelope { host_id: from, message }) = wire::decode(message) else {
        return;
    };
    match (from, message) {
        (Some(host), Message::Callback(callback)) if host == *host_id => acks.answer_from_afar(callback),
        (_, Message::Callback(_)) => {}
        (Some(host), Message::Hello) => asker.peers.heard(&host),
        (from, message) => drop(asker.take(from, message)),
    }
}
