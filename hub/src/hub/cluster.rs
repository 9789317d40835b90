//! A hub's participation in the cluster: presence, responses to requests of other processes, and its own requests.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use manager_api::ack::MissingAck;
use manager_api::broadcast::{Scope, Sink};
use manager_api::cluster::{
    self, ClusterRequest, ClusterResponse, Gathered, RequestKind, ResponsePart, ServerEvent, ServerEventHandler,
    ServerResponse, server_event,
};
use manager_api::id::IntoEventName;
use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::message::{Envelope, Message};
use manager_api::turn::Turn;
use manager_api::{Error, EventName, Health, HostId, Payload, Sid};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::inspect::num_members;
use super::metrics::Counters;
use super::parts::recipients_in_parts;
use super::{Hub, sids};
use crate::deliver::Deliver;
use crate::registry::Recipients;

/// Handlers of events for servers that run concurrently.
const RUNNING_EVENTS: usize = 256;

/// Delay before a presence message is sent: one message then serves all hellos, or all gaps, within that time.
const PRESENCE_DELAY: Duration = Duration::from_millis(50);

/// Requests and events between servers.
impl<D: Deliver> Hub<D> {
    /// Sends an event to every other server, for the handlers that [`on_server_event`](Self::on_server_event) has
    /// registered there.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::emit`](manager_api::Broadcast::emit).
    pub fn server_side_emit<T: Serialize + ?Sized>(
        self: &Arc<Self>,
        event: impl IntoEventName,
        data: &T,
    ) -> BoxFuture<'static, Result<(), Error>> {
        let timeout = self.options.max_ack_timeout;
        let kind = match server_event(event, data) {
            Ok(kind) => kind,
            Err(error) => return std::future::ready(Err(error)).boxed(),
        };
        let request = ClusterRequest {
            id: None,
            kind,
            timeout,
        };
        Sink::command(self.clone(), Message::Request(request), Scope::Cluster)
    }

    /// Sends an event to every other server and collects the responses.
    ///
    /// # Errors
    ///
    /// [`Config`](manager_api::ErrorKind::Config) if event or payload cannot be used, otherwise as
    /// [`servers`](Self::servers).
    pub async fn server_side_call<T: Serialize + ?Sized>(
        self: &Arc<Self>,
        event: impl IntoEventName,
        data: &T,
        timeout: Duration,
    ) -> Result<Gathered<Vec<ServerResponse>>, Error> {
        let kind = server_event(event, data)?;
        let responses = Sink::request(self.clone(), kind, Scope::Cluster, timeout).await?;
        Ok(cluster::server_responses(responses).await)
    }

    /// Registers the handler of an event for servers; a later registration replaces an earlier one.
    ///
    /// Handlers start in the order in which the events of one sender arrive, and may overlap. One that takes longer
    /// than the sender waits is dropped.
    pub fn on_server_event(&self, event: EventName, handler: ServerEventHandler) {
        let mut handlers = self.server_events.write().unpoisoned();
        handlers.insert(event, handler);
    }

    /// Notifies the other servers, then flushes and closes the manager. Without a connection to the
    /// broker it notifies none: the end of a server does not wait for a broker that only the bye needs. A broker that is
    /// slow has a second for it, and after that as long as the manager takes to flush; one that refuses it changes
    /// nothing else.
    ///
    /// # Errors
    ///
    /// As [`ClientManager::close`](manager_api::ClientManager::close).
    pub async fn close(&self) -> Result<(), Error> {
        let Some(messenger) = &self.messenger else {
            return Ok(());
        };
        let manager = messenger.manager();
        let is_known = messenger.is_known(*self.subscribed.borrow());
        if !is_known || is_cut_off(&manager.health()) {
            return manager.close().await;
        }
        // Before closing begins, to which a bye that the broker refuses would be a message that was not flushed. If it
        // is lost, the next request of the others waits for its timeout, once.
        let _ = timeout(messenger.bye_patience(), self.publish(Message::Bye)).await;
        manager.close().await
    }

    /// Announces this server and requests the presence of the others. Requests wait for discovery from now on.
    pub(super) fn announce(&self) {
        self.post(Message::Hello);
        self.requester.peers.start_discovery(self.options.presence_wait);
    }

    /// Announces this server again after gaps, in which presence messages may have been missed; never completes.
    pub(super) async fn announce_after_gaps(&self) {
        loop {
            self.had_gap.notified().await;
            tokio::time::sleep(PRESENCE_DELAY).await;
            self.post(Message::Hello);
        }
    }

    /// Confirms this server's presence when it is requested; never completes.
    pub(super) async fn confirm_presence(&self) {
        loop {
            self.presence_requested.notified().await;
            tokio::time::sleep(PRESENCE_DELAY).await;
            self.post(Message::Present);
        }
    }

    /// Handles presence messages, requests and commands of other processes.
    pub(super) async fn handle_cluster_message(&self, origin: Option<HostId>, message: Message) {
        match (origin, message) {
            (Some(origin), Message::Hello) => {
                self.requester.peers.record(&origin);
                self.presence_requested.notify_one();
            }
            (_, Message::Seek) => self.presence_requested.notify_one(),
            (Some(origin), Message::Request(request)) => self.handle_request(origin, request).await,
            (_, command) => self.command_remote(&command).await,
        }
    }

    async fn handle_request(&self, origin: HostId, request: ClusterRequest) {
        let timeout = request.timeout.min(self.options.max_ack_timeout);
        if let RequestKind::Event { event, payload } = request.kind {
            return self.start_event(origin, request.id, event, payload, timeout);
        }
        let Some(id) = request.id else { return };
        match request.kind {
            RequestKind::Servers => self.respond(&origin, id, self.present()),
            RequestKind::Rooms {
                namespace,
                prefix,
                limit,
            } => self.respond_rooms(&origin, id, (&namespace, &prefix), limit).await,
            RequestKind::Count { clients } => {
                let count = self.count_local(&clients).await;
                self.respond(&origin, id, ResponsePart::Count(count));
            }
            RequestKind::Sockets { clients, limit } => self.respond_sockets(&origin, id, &clients, limit).await,
            RequestKind::Event { .. } => {}
        }
    }

    /// Reports the recipients of an event to the process that requests acknowledgements.
    pub(super) async fn respond_recipients(&self, origin: &HostId, id: u64, clients: &Recipients<D::Client>) {
        let max = self.options.max_sockets;
        let is_truncated = num_members(clients).await > max as u64;
        let parts = recipients_in_parts(sids(clients, max).await);
        self.respond_in_parts(origin, id, parts, is_truncated).await;
    }

    /// Reports to the requester that a client left without an acknowledgement.
    pub(super) fn report_missing_ack(&self, missing: MissingAck, sid: &Sid) {
        let is_local = missing.requester.is_none();
        let response = ClusterResponse {
            to: missing.requester.unwrap_or_else(|| self.host_id.clone()),
            id: missing.request,
            part: ResponsePart::Left(vec![sid.clone()]),
            number: 0,
            is_last: false,
            is_truncated: false,
        };
        if is_local {
            self.requester.requests.receive(self.host_id.clone(), response);
        } else {
            self.post(Message::Response(response));
        }
    }

    pub(super) fn respond(&self, to: &HostId, id: u64, part: ResponsePart) {
        self.post_part(to, id, (0, part), true, false);
    }

    /// Queues a response in parts; yields between them.
    pub(super) async fn respond_in_parts(
        &self,
        to: &HostId,
        id: u64,
        parts: impl Iterator<Item = ResponsePart>,
        is_truncated: bool,
    ) {
        let (mut parts, mut turn) = (parts.enumerate().peekable(), Turn::default());
        while let Some((number, part)) = parts.next() {
            let num_names = part.num_names();
            let is_last = parts.peek().is_none();
            // After a dropped part the receiver reports the response as incomplete, so the others
            // are not needed.
            if !self.post_part(to, id, (number, part), is_last, is_truncated) {
                return;
            }
            turn.spend(num_names).await;
        }
    }

    /// Queues a part of a response with its number; `false` if it was dropped.
    fn post_part(
        &self,
        to: &HostId,
        id: u64,
        (number, part): (usize, ResponsePart),
        is_last: bool,
        is_truncated: bool,
    ) -> bool {
        self.post(Message::Response(ClusterResponse {
            to: to.clone(),
            id,
            part,
            number: u32::try_from(number).unwrap_or(u32::MAX),
            is_last,
            is_truncated,
        }))
    }

    /// Queues the handler of an event for servers, and the response with its output.
    fn start_event(&self, from: HostId, request: Option<u64>, event: EventName, payload: Payload, timeout: Duration) {
        static DROPPED: LimitedLog = LimitedLog::new();
        let handlers = self.server_events.read().unpoisoned();
        let handler = handlers.get(&event).cloned();
        drop(handlers);
        let Some(handler) = handler else {
            return request.map_or((), |id| self.respond(&from, id, ResponsePart::Event(None)));
        };
        let (outgoing, host_id, messenger) = (self.outgoing.clone(), self.host_id.clone(), self.messenger.clone());
        let permit = self.event_budget.try_take(payload.size());
        let is_admitted = permit.is_some();
        let run = async move {
            // Held while the handler runs, because it holds the arguments.
            let _permit = permit;
            let handled = handler(ServerEvent {
                from: from.clone(),
                event,
                payload,
                expects_response: request.is_some(),
            });
            // After the timeout the requester does not wait for a response any more, and reports
            // this server as missing.
            let Ok(payload) = tokio::time::timeout(timeout, handled).await else {
                return;
            };
            let Some(id) = request else { return };
            let response = ClusterResponse {
                to: from,
                id,
                part: ResponsePart::Event(payload),
                number: 0,
                is_last: true,
                is_truncated: false,
            };
            let envelope = Envelope {
                host_id: Some(host_id),
                message: Message::Response(response),
                mark: None,
            };
            // Waits for capacity of the bounded queue, unlike other responses, which are dropped.
            if let Some(messenger) = messenger {
                outgoing.send(messenger.encode(envelope)).await;
            }
        };
        if !is_admitted || self.events.try_send(run.boxed()).is_err() {
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
/// One that reports nothing, as the default of [`ClientManager::health`](manager_api::ClientManager::health) does, counts as connected.
fn is_cut_off(health: &Health) -> bool {
    health.listening_since.is_none() && health.last_error.is_some()
}

impl<D: Deliver> Hub<D> {
    /// Runs the handlers of events for servers, concurrently with listening; never completes. Dropping the future
    /// aborts them.
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

/// Starts a handler once the previous one has started, because tasks may be polled in any order.
async fn in_turn(
    before: Option<oneshot::Receiver<()>>,
    started: oneshot::Sender<()>,
    mut event: BoxFuture<'static, ()>,
) {
    if let Some(before) = before {
        // Completes, with an error, when the sender is dropped; a handler that panics has started,
        // too.
        let _ = before.await;
    }
    let first = std::future::poll_fn(|cx| Poll::Ready(event.poll_unpin(cx))).await;
    drop(started);
    if first.is_pending() {
        event.await;
    }
}
