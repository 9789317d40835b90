//! Receiving: one subscription for each namespace, whose messages go into one stream of arrivals.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::unfold;
use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::topics::Delivery;
use manager_api::wire::{Arrival, Arrivals};
use manager_api::{Backoff, Error, ErrorKind, NamespaceName, Subscription, deadline};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::heartbeats::{self, Live};
use crate::kinds::cluster::INITIAL_HEARTBEAT;
use crate::messenger::Shared;
use crate::notices::{self, OldRows};
use crate::plan::{Adapter, Reads};
use crate::receiver::Receiver;
use crate::shipment::{attachments, topics};

/// The waits between attempts to subscribe to a namespace.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The namespaces that are subscribed to.
pub(crate) struct Listening {
    /// `None` as an item ends the arrivals.
    pub(crate) arrivals: mpsc::Sender<Option<Arrival>>,
    /// The subscriptions of each namespace. A server that asked about one before it had it has two.
    pub(crate) namespaces: HashMap<NamespaceName, Vec<Listener>>,
}

/// A subscription to messages about one namespace.
pub(crate) struct Listener {
    pub(crate) task: JoinHandle<()>,
    pub(crate) reads: Reads,
    /// The servers, where they can only be known by their heartbeats.
    pub(crate) live: Option<watch::Receiver<Live>>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to receive: a server all messages about its namespaces, an emitter responses from its first request on.
pub(crate) async fn receive(shared: Arc<Shared>) -> Result<Arrivals, Error> {
    let (arrivals, receiver) = mpsc::channel(shared.plan.limits.max_waiting_arrivals.max(1));
    *shared.listening.lock().await = Some(Listening {
        arrivals: arrivals.clone(),
        namespaces: HashMap::new(),
    });
    if shared.is_server() {
        for namespace in shared.unattended().await {
            match shared.listen(&namespace).await {
                // It closes already, and responds to those that know of it.
                Err(_) if shared.is_retired() => break,
                listened => listened.map(drop)?,
            }
        }
        if shared.plan.adapter == Adapter::Postgres {
            let rows = OldRows {
                manager: shared.manager.clone(),
                table: shared.plan.table.clone(),
                age: shared.plan.cleanup_interval,
            };
            tokio::spawn(rows.delete(arrivals.clone(), shared.retired.subscribe()));
        }
        tokio::spawn(attend(shared, arrivals));
    }
    let stream = unfold(receiver, |mut receiver| async {
        let arrival = receiver.recv().await??;
        Some((arrival, receiver))
    });
    Ok(stream.boxed())
}

/// Subscribes to the namespaces that a server attends later, until its arrivals are dropped.
async fn attend(shared: Arc<Shared>, arrivals: mpsc::Sender<Option<Arrival>>) {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut has_failed = false;
    loop {
        let wait = match has_failed {
            true => backoff.next_delay(),
            false => Duration::MAX,
        };
        tokio::select! {
            () = arrivals.closed() => return,
            () = shared.attended_changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        if let Some(reason) = shared.rooms.take_gap() {
            let _ = arrivals.send(Some(Arrival::Gap { reason })).await;
        }
        shared.forget_left().await;
        let missed = std::mem::take(&mut has_failed);
        for namespace in shared.unattended().await {
            match shared.listen(&namespace).await {
                Ok(_) if missed => {
                    let reason = format!("namespace {namespace} could not be subscribed to before");
                    let _ = arrivals.send(Some(Arrival::Gap { reason })).await;
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(error) => {
                    has_failed = true;
                    note_failure(&namespace, &error);
                }
            }
        }
        if !has_failed {
            backoff.reset();
        }
    }
}

/// Returns what the subscriptions of a namespace do not receive yet.
///
/// A second one has no interest in common with the first, so that nothing arrives twice.
fn missing(listeners: &[Listener], is_attended: bool) -> Option<Reads> {
    let mut alive = listeners.iter().filter(|listener| !listener.task.is_finished());
    let has_responses = { alive.clone() }.any(|listener| listener.reads.has_responses());
    let is_member = alive.any(|listener| listener.reads.is_member());
    match (has_responses, is_member || !is_attended) {
        (true, true) => None,
        (true, false) => Some(Reads::Requests),
        (false, true) => Some(Reads::Responses),
        (false, false) => Some(Reads::Everything),
    }
}

fn note_failure(namespace: &NamespaceName, error: &Error) {
    static FAILED: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = FAILED.pass() {
        let (namespace, error) = (Escaped(namespace), Escaped(error));
        let text = "cannot subscribe to a namespace: events of other servers do not arrive; trying again";
        quietly(|| tracing::error!(suppressed, ?namespace, ?error, "{text}"));
    }
}

impl Shared {
    /// Returns the namespaces of this server that are not subscribed to.
    async fn unattended(&self) -> Vec<NamespaceName> {
        if self.is_retired() {
            return Vec::new();
        }
        let listening = self.listening.lock().await;
        let is_listening = |namespace: &NamespaceName| {
            let listeners = listening
                .as_ref()
                .and_then(|listening| listening.namespaces.get(namespace));
            listeners.is_some_and(|listeners| missing(listeners, true).is_none())
        };
        let attended = self.attended.lock().unpoisoned();
        attended
            .iter()
            .filter(|namespace| !is_listening(namespace))
            .cloned()
            .collect()
    }

    /// Ends the membership in namespaces that this server has left. Responses to its requests still arrive.
    async fn forget_left(&self) {
        let mut listening = self.listening.lock().await;
        let attended = self.attended.lock().unpoisoned();
        let Some(listening) = listening.as_mut() else {
            return;
        };
        listening.namespaces.retain(|namespace, listeners| {
            if !attended.contains(namespace) {
                self.rooms.end(namespace);
                listeners.retain(|listener| !listener.reads.is_member());
            }
            !listeners.is_empty()
        });
    }

    /// Subscribes to the messages about a namespace, as far as that was not done. Returns the servers that have a
    /// heartbeat, where the adapter knows them by that.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        namespace: &NamespaceName,
    ) -> Result<Option<watch::Receiver<Live>>, Error> {
        let mut listening = self.listening.lock().await;
        let Some(listening) = listening.as_mut() else {
            return Err(Error::new(ErrorKind::Config, "responses are not received yet"));
        };
        if self.is_retired() {
            return Err(Error::new(ErrorKind::Closed, "this process closes"));
        }
        let is_attended = self.attended.lock().unpoisoned().contains(namespace);
        let listeners = listening.namespaces.get(namespace).map_or(&[][..], Vec::as_slice);
        match missing(listeners, is_attended) {
            Some(reads) => self.subscribe(listening, namespace, reads).await,
            None => Ok(listeners.iter().find_map(|listener| listener.live.clone())),
        }
    }

    async fn subscribe(
        self: &Arc<Self>,
        listening: &mut Listening,
        namespace: &NamespaceName,
        reads: Reads,
    ) -> Result<Option<watch::Receiver<Live>>, Error> {
        listening.namespaces.retain(|_, listeners| {
            listeners.retain(|listener| !listener.task.is_finished());
            !listeners.is_empty()
        });
        let is_new = !listening.namespaces.contains_key(namespace);
        let max = self.plan.limits.max_namespaces;
        if is_new && listening.namespaces.len() >= max {
            let text = format!("messages about {max} namespaces are received already: raise the limit max_namespaces");
            return Err(Error::new(ErrorKind::Busy, text));
        }
        let subscription = self.receive_about(namespace, reads).await?;
        let (beats, live) = watch::channel(Live::default());
        let receiver = Receiver {
            shared: self.clone(),
            namespace: namespace.clone(),
            reads,
            arrivals: listening.arrivals.clone(),
            beats: beats.clone(),
            num_unnamed: 0,
        };
        let listener = Listener {
            task: tokio::spawn(receiver.run(subscription)),
            reads,
            live: self.plan.adapter.has_heartbeats().then_some(live),
        };
        self.greet(namespace, beats).await?;
        let live = listener.live.clone();
        let listeners = listening.namespaces.entry(namespace.clone()).or_default();
        listeners.push(listener);
        Ok(live)
    }

    /// Subscribes to what is read about a namespace.
    async fn receive_about(&self, namespace: &NamespaceName, reads: Reads) -> Result<Subscription<Delivery>, Error> {
        let topics = topics(&*self.manager);
        if self.plan.adapter == Adapter::Postgres {
            let (topic, table) = (self.plan.servers(namespace), self.plan.table.clone());
            let attachments = attachments(&*self.manager);
            return attachments
                .subscribe_attached(vec![topic], table, notices::row_of)
                .await;
        }
        let interests = self.plan.interests(reads, namespace, &self.uid);
        match reads.is_member() && self.plan.has_room_channels() {
            true => {
                topics
                    .subscribe_to_changing(self.rooms.begin(namespace, interests)?)
                    .await
            }
            false => topics.subscribe_to(interests).await,
        }
    }

    /// Makes this process know the servers that are known by their heartbeats, and a server known to them.
    async fn greet(&self, namespace: &NamespaceName, beats: watch::Sender<Live>) -> Result<(), Error> {
        match self.plan.adapter {
            Adapter::OldStreams => {
                let stream = self.plan.stream(namespace);
                let mark = heartbeats::mark(namespace, &self.uid);
                let mut live = beats.subscribe();
                // So that the wait ends with the receiver: a server that closes meanwhile waits for this.
                drop(beats);
                topics(&*self.manager).append(&stream, mark).await?;
                heartbeats::servers(&mut live).await.map(drop)
            }
            Adapter::Postgres => {
                self.heartbeat(namespace, INITIAL_HEARTBEAT)
                    .send(&*self.manager)
                    .await?;
                let current_at = deadline::after(self.plan.discovery);
                beats.send_modify(|live| live.current_at = Some(current_at));
                Ok(())
            }
            Adapter::Classic | Adapter::Sharded | Adapter::Streams => Ok(()),
        }
    }
}
