//! A hub's part in the cluster: who is there, questions of others answered, questions of its own.

use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::parts::{asked_in_parts, sockets_in_parts};
use super::{Counters, Deliver, Hub, SKIPPED_COST, select, sids};
use crate::cluster::{self, Gathered, ServerAnswer, ServerEvent, ServerEventHandler};
use crate::registry::Selecting;
use crate::turn::Turn;
use crate::wire;
use crate::{
    Ask, Envelope, Error, Escaped, EventName, Health, HostId, LimitedLog, Message, Part, Payload, Question, Recipients,
    Reply, Scope, Selection, Sid, Sink, SocketInfo, quietly,
};

/// Handlers of events for servers that run at a time.
const RUNNING_EVENTS: usize = 256;

/// How long a server that was asked who is there waits for others who ask: one answer serves all of them. As long it waits for more gaps
/// before it asks.
const GATHER_HELLOS: Duration = Duration::from_millis(50);

/// Everything about the other servers.
impl<D: Deliver> Hub<D> {
    /// Asks which servers there are; the answer holds this one.
    ///
    /// # Errors
    ///
    /// [`Busy`](crate::ErrorKind::Busy) if too many questions are open, [`Timeout`](crate::ErrorKind::Timeout) if this server does not hear
    /// the others yet, otherwise what [`ClientManager::publish`](crate::ClientManager::publish) says. A server that does not answer is no
    /// error.
    pub async fn servers(self: &Arc<Self>, timeout: Duration) -> Result<Gathered<Vec<HostId>>, Error> {
        let replies = Sink::ask(self.clone(), Ask::Servers, Scope::Cluster, timeout).await?;
        Ok(cluster::servers(replies).await)
    }

    /// Sends an event to every other server, for the handlers that [`on_server_event`](Self::on_server_event) has registered there.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::emit`](crate::Broadcast::emit).
    pub fn server_side_emit<T: Serialize + ?Sized>(
        self: &Arc<Self>,
        event: &str,
        data: &T,
    ) -> BoxFuture<'static, Result<(), Error>> {
        let timeout = self.options.max_ack_timeout;
        let message = server_event(event, data).map(|ask| Message::Ask(Question { id: None, ask, timeout }));
        match message {
            Ok(message) => Sink::command(self.clone(), message, Scope::Cluster),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }

    /// Sends an event to every other server and collects what they answer.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if event or payload cannot be used, otherwise as [`servers`](Self::servers).
    pub async fn server_side_call<T: Serialize + ?Sized>(
        self: &Arc<Self>,
        event: &str,
        data: &T,
        timeout: Duration,
    ) -> Result<Gathered<Vec<ServerAnswer>>, Error> {
        let ask = server_event(event, data)?;
        let replies = Sink::ask(self.clone(), ask, Scope::Cluster, timeout).await?;
        Ok(cluster::servers_answers(replies).await)
    }

    /// Registers what answers an event for servers; a later registration replaces an earlier one.
    ///
    /// Handlers start in the order in which the events of one sender come, and may overlap. One that takes longer than the sender waits is
    /// dropped.
    pub fn on_server_event(&self, event: EventName, handler: ServerEventHandler) {
        let mut handlers = self.server_events.write().unwrap_or_else(PoisonError::into_inner);
        handlers.insert(event, handler);
    }

    /// Says bye to the other servers, then flushes and closes the manager. Without a connection to the broker it says none: the end of a
    /// server does not wait for a broker that only the bye is for.
    ///
    /// # Errors
    ///
    /// As [`ClientManager::close`](crate::ClientManager::close).
    pub async fn close(&self) -> Result<(), Error> {
        let Some(manager) = &self.manager else {
            return Ok(());
        };
        if !*self.subscribed.borrow() || is_cut_off(&manager.health()) {
            return manager.close().await;
        }
        // Closing flushes what was handed over before. A bye that gets lost costs the next question of others its timeout, once.
        let bye = manager.publish(self.envelope(Message::Bye));
        let (_, closed) = tokio::join!(biased; bye, manager.close());
        closed
    }

    /// Tells the others that this server is there, and asks who else is. Questions wait for their answers from now on.
    pub(super) fn say_hello(&self) {
        self.post(Message::Hello);
        self.asker.peers.said_hello(self.options.presence_wait);
    }

    /// Asks once more who is there when that may have been missed; never completes. One hello serves all gaps of a moment.
    pub(super) async fn say_hello_again(&self) {
        loop {
            self.had_gap.notified().await;
            tokio::time::sleep(GATHER_HELLOS).await;
            self.post(Message::Hello);
        }
    }

    /// Answers those who ask who is there; never completes.
    pub(super) async fn say_here(&self) {
        loop {
            self.heard_hello.notified().await;
            tokio::time::sleep(GATHER_HELLOS).await;
            self.post(Message::Here);
        }
    }

    /// Takes what concerns the servers and not their clients.
    pub(super) async fn take_from_server(&self, origin: Option<HostId>, message: Message) {
        match (origin, message) {
            (Some(origin), Message::Hello) => {
                self.asker.peers.heard(&origin);
                self.heard_hello.notify_one();
            }
            (_, Message::Seek) => self.heard_hello.notify_one(),
            (Some(origin), Message::Ask(question)) => self.answer(origin, question).await,
            (_, command) => self.command_from_afar(&command).await,
        }
    }

    async fn answer(&self, origin: HostId, question: Question) {
        let timeout = question.timeout.min(self.options.max_ack_timeout);
        if let Ask::Event { event, payload } = question.ask {
            return self.start_event(origin, question.id, event, payload, timeout);
        }
        let Some(id) = question.id else { return };
        match question.ask {
            Ask::Servers => self.reply(&origin, id, Part::Present),
            Ask::Count { clients } => {
                let count = self.count_here(&clients).await;
                self.reply(&origin, id, Part::Count(count));
            }
            Ask::Sockets { clients, limit } => self.reply_sockets(&origin, id, &clients, limit).await,
            Ask::Event { .. } => {}
        }
    }

    pub(super) async fn selected(&self, clients: &Selection) -> Recipients<D::Client> {
        let (namespace, target) = (&clients.namespace, &clients.target);
        let selecting = Selecting::start(&self.registry, namespace, target, &clients.skip, &clients.except);
        select(selecting).await
    }

    pub(super) async fn count_here(&self, clients: &Selection) -> u64 {
        num_members(&self.selected(clients).await).await
    }

    /// Returns the clients of this server, at most `limit`, and whether there are more.
    pub(super) async fn sockets_here(&self, clients: &Selection, limit: usize) -> (Vec<SocketInfo>, bool) {
        let (recipients, mut turn) = (self.selected(clients).await, Turn::default());
        let (mut sockets, mut bytes) = (Vec::new(), 0);
        for member in recipients.iter() {
            if sockets.len() >= limit || bytes > self.options.max_sockets_bytes {
                return (sockets, true);
            }
            // One that left in the meantime is not counted.
            let Some(rooms) = self.registry.rooms_of(&clients.namespace, &member.sid) else {
                continue;
            };
            turn.spend(1 + rooms.len()).await;
            let socket = SocketInfo {
                id: member.sid.clone(),
                rooms,
                data: self.deliver.data(&member.handle),
            };
            bytes += socket.size();
            sockets.push(socket);
        }
        (sockets, false)
    }

    async fn reply_sockets(&self, origin: &HostId, id: u64, clients: &Selection, limit: usize) {
        let (sockets, is_truncated) = self.sockets_here(clients, limit.min(self.options.max_sockets)).await;
        self.reply_parts(origin, id, sockets_in_parts(sockets), is_truncated)
            .await;
    }

    /// Names the clients that were sent an event, to whoever asked for acknowledgements.
    pub(super) async fn reply_asked(&self, origin: &HostId, id: u64, clients: &Recipients<D::Client>) {
        let max = self.options.max_sockets;
        let is_truncated = num_members(clients).await > max as u64;
        let parts = asked_in_parts(sids(clients, max).await);
        self.reply_parts(origin, id, parts, is_truncated).await;
    }

    /// Tells whoever asked that a client left without an acknowledgement.
    pub(super) fn left(&self, asked_by: Option<HostId>, id: u64, sid: &Sid) {
        let reply = |to| Reply {
            to,
            id,
            part: Part::Left(vec![sid.clone()]),
            number: 0,
            is_last: false,
            is_truncated: false,
        };
        match asked_by {
            Some(host) => drop(self.post(Message::Reply(reply(host)))),
            None => self
                .asker
                .questions
                .take(self.host_id.clone(), reply(self.host_id.clone())),
        }
    }

    fn reply(&self, to: &HostId, id: u64, part: Part) {
        self.reply_part(to, id, (0, part), true, false);
    }

    /// Answers in parts, between which others may run.
    async fn reply_parts(&self, to: &HostId, id: u64, parts: impl Iterator<Item = Part>, is_truncated: bool) {
        let (mut parts, mut turn) = (parts.enumerate().peekable(), Turn::default());
        while let Some((number, part)) = parts.next() {
            let num_names = part.num_names();
            let is_last = parts.peek().is_none();
            // A part that is dropped is missed by its number.
            if !self.reply_part(to, id, (number, part), is_last, is_truncated) {
                return;
            }
            turn.spend(num_names).await;
        }
    }

    /// Answers with a part and its number; `false` if it was dropped.
    fn reply_part(
        &self,
        to: &HostId,
        id: u64,
        (number, part): (usize, Part),
        is_last: bool,
        is_truncated: bool,
    ) -> bool {
        self.post(Message::Reply(Reply {
            to: to.clone(),
            id,
            part,
            number: u32::try_from(number).unwrap_or(u32::MAX),
            is_last,
            is_truncated,
        }))
    }

    /// Runs the handler of an event for servers, and answers with what it says.
    fn start_event(&self, from: HostId, question: Option<u64>, event: EventName, payload: Payload, timeout: Duration) {
        static DROPPED: LimitedLog = LimitedLog::new();
        let handlers = self.server_events.read().unwrap_or_else(PoisonError::into_inner);
        let handler = handlers.get(&event).cloned();
        drop(handlers);
        let Some(handler) = handler else {
            return question.map_or((), |id| self.reply(&from, id, Part::Event(None)));
        };
        let (outgoing, host_id) = (self.outgoing.clone(), self.host_id.clone());
        let room = self.event_room.try_take(payload.size());
        let has_room = room.is_some();
        let run = async move {
            // Held until it was handled: the handler has the arguments.
            let _room = room;
            let is_asked = question.is_some();
            let handled = handler(ServerEvent {
                from: from.clone(),
                event,
                payload,
                is_asked,
            });
            // Nobody waits for an answer any more; whoever asked says so.
            let Ok(payload) = tokio::time::timeout(timeout, handled).await else {
                return;
            };
            let Some(id) = question else { return };
            let reply = Reply {
                to: from,
                id,
                part: Part::Event(payload),
                number: 0,
                is_last: true,
                is_truncated: false,
            };
            let message = wire::encode(&Envelope {
                host_id: Some(host_id),
                message: Message::Reply(reply),
            });
            // The queue is as long as the memory for it; the task waits for its turn.
            outgoing.send(message).await;
        };
        if !has_room || self.events.try_send(run.boxed()).is_err() {
            Counters::add(&self.counters.server_events_dropped);
            if let Some(suppressed) = DROPPED.pass() {
                let text = "dropped an event for this server: too many wait for their handlers";
                quietly(|| tracing::warn!(suppressed, "{text}"));
            }
        }
    }
}

/// Tells whether a manager has lost its subscription, as far as it reports its health.
///
/// One that reports nothing, as the default of [`ClientManager::health`](crate::ClientManager::health) does, counts as connected.
fn is_cut_off(health: &Health) -> bool {
    health.listening_since.is_none() && health.last_error.is_some()
}

pub(crate) fn server_event<T: Serialize + ?Sized>(event: &str, data: &T) -> Result<Ask, Error> {
    let (event, payload) = (EventName::new(event)?, Payload::new(data)?);
    Ok(Ask::Event { event, payload })
}

impl<D: Deliver> Hub<D> {
    /// Runs the handlers of events for servers, apart from the listening; never completes. They end with it.
    pub(super) async fn run_events(&self) {
        static PANICKED: LimitedLog = LimitedLog::new();
        let mut events = self.waiting_events.lock().await;
        let mut running = JoinSet::new();
        let mut last_started = None;
        loop {
            tokio::select! {
                Some(event) = events.recv(), if running.len() < RUNNING_EVENTS => {
                    let (started, has_started) = oneshot::channel();
                    running.spawn(in_turn(last_started.replace(has_started), started, event));
                }
                Some(ended) = running.join_next() => {
                    if let Err(panic) = ended {
                        Counters::add(&self.counters.panics);
                        if let Some(suppressed) = PANICKED.pass() {
                            let panic = Escaped(panic);
                            let text = "the handler of an event for this server panicked";
                            quietly(|| tracing::error!(?panic, suppressed, "{text}"));
                        }
                    }
                }
                else => std::future::pending().await,
            }
        }
    }
}

/// Starts a handler once the one before has started: tasks are run in any order.
async fn in_turn(
    before: Option<oneshot::Receiver<()>>,
    started: oneshot::Sender<()>,
    mut event: BoxFuture<'static, ()>,
) {
    if let Some(before) = before {
        // An error says that its sender was dropped, which is all that it is for: a handler that panics has started, too.
        let _ = before.await;
    }
    let first = std::future::poll_fn(|cx| Poll::Ready(event.poll_unpin(cx))).await;
    drop(started);
    if first.is_pending() {
        event.await;
    }
}

/// Counts the members of a selection, and lets others run if they are many.
async fn num_members<C>(recipients: &Recipients<C>) -> u64 {
    let (mut count, mut turn) = (0, Turn::default());
    for chunk in recipients.chunks() {
        let members = chunk.count();
        count += members as u64;
        turn.spend(members.max(SKIPPED_COST)).await;
    }
    count
}
