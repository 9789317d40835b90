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
use manager_api::{Backoff, Error, ErrorKind, HostId, Incoming, NamespaceName, Subscription};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::heartbeats::{self, Live};
use crate::member::{self, Reader};
use crate::messenger::{Shared, topics};
use crate::plan::Adapter;
use crate::response::{self, Requester, ResponseLimits};

/// Arrivals that wait to be received; beyond that the subscriptions are not read.
const WAITING_ARRIVALS: usize = 64;

/// Namespaces whose messages one process can receive: each has connections to the broker.
const MAX_NAMESPACES: usize = 64;

/// Names of clients and rooms in one response.
const MAX_NAMES: usize = 1 << 18;

/// The waits between attempts to subscribe to a namespace.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The namespaces that are subscribed to.
pub(crate) struct Listening {
    /// `None` as an item ends the arrivals.
    arrivals: mpsc::Sender<Option<Arrival>>,
    namespaces: HashMap<NamespaceName, Listener>,
}

/// The subscription of one namespace.
struct Listener {
    task: JoinHandle<()>,
    /// The servers, where they can only be known by their heartbeats.
    live: Option<watch::Receiver<Live>>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to receive: a server all messages about its namespaces, an emitter responses from its first request on.
pub(crate) async fn receive(shared: Arc<Shared>) -> Result<Arrivals, Error> {
    let (arrivals, receiver) = mpsc::channel(WAITING_ARRIVALS);
    *shared.listening.lock().await = Some(Listening {
        arrivals: arrivals.clone(),
        namespaces: HashMap::new(),
    });
    if shared.is_server() {
        for namespace in shared.unattended().await {
            shared.listen(&namespace).await?;
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
        let listening = self.listening.lock().await;
        let is_listening = |namespace: &NamespaceName| {
            let listener = listening
                .as_ref()
                .and_then(|listening| listening.namespaces.get(namespace));
            listener.is_some_and(|listener| !listener.task.is_finished())
        };
        let attended = self.attended.lock().unpoisoned();
        attended
            .iter()
            .filter(|namespace| !is_listening(namespace))
            .cloned()
            .collect()
    }

    /// Ends the subscriptions to namespaces that this server has left.
    async fn forget_left(&self) {
        let mut listening = self.listening.lock().await;
        let attended = self.attended.lock().unpoisoned();
        if let Some(listening) = listening.as_mut() {
            listening.namespaces.retain(|namespace, _| attended.contains(namespace));
        }
    }

    /// Subscribes to the messages about a namespace, unless that was done. Returns the servers that have a heartbeat,
    /// where the adapter knows them by that.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        namespace: &NamespaceName,
    ) -> Result<Option<watch::Receiver<Live>>, Error> {
        let mut listening = self.listening.lock().await;
        let Some(listening) = listening.as_mut() else {
            return Err(Error::new(ErrorKind::Config, "responses are not received yet"));
        };
        match listening.namespaces.get(namespace) {
            Some(listener) if !listener.task.is_finished() => Ok(listener.live.clone()),
            _ => self.subscribe(listening, namespace).await,
        }
    }

    async fn subscribe(
        self: &Arc<Self>,
        listening: &mut Listening,
        namespace: &NamespaceName,
    ) -> Result<Option<watch::Receiver<Live>>, Error> {
        listening.namespaces.retain(|_, listener| !listener.task.is_finished());
        if listening.namespaces.len() >= MAX_NAMESPACES {
            let text = format!("messages about {MAX_NAMESPACES} namespaces are received already, which is the limit");
            return Err(Error::new(ErrorKind::Busy, text));
        }
        let is_member = self.attended.lock().unpoisoned().contains(namespace);
        let interests = match is_member {
            true => self.plan.member(namespace, &self.uid),
            false => self.plan.responses(namespace, &self.uid),
        };
        let topics = topics(&*self.manager);
        let subscription = topics.subscribe_to(interests).await?;
        let (beats, mut live) = watch::channel(Live::default());
        let receiver = Receiver {
            shared: self.clone(),
            namespace: namespace.clone(),
            is_member,
            arrivals: listening.arrivals.clone(),
            beats,
            num_unnamed: 0,
        };
        let has_heartbeats = self.plan.adapter == Adapter::OldStreams;
        let listener = Listener {
            task: tokio::spawn(receiver.run(subscription)),
            live: has_heartbeats.then(|| live.clone()),
        };
        if has_heartbeats {
            let stream = self.plan.stream(namespace);
            topics.append(&stream, heartbeats::mark(namespace, &self.uid)).await?;
            heartbeats::servers(&mut live).await?;
        }
        let live = listener.live.clone();
        listening.namespaces.insert(namespace.clone(), listener);
        Ok(live)
    }
}

/// The task of one subscription.
struct Receiver {
    shared: Arc<Shared>,
    namespace: NamespaceName,
    /// Whether this process is a server of the namespace.
    is_member: bool,
    arrivals: mpsc::Sender<Option<Arrival>>,
    beats: watch::Sender<Live>,
    /// Responses of servers that do not name themselves.
    num_unnamed: u64,
}

impl Receiver {
    /// Receives until the manager is closed or the arrivals are dropped.
    async fn run(mut self, mut subscription: Subscription<Delivery>) {
        let arrivals = self.arrivals.clone();
        let beating = beat(
            self.shared.clone(),
            self.namespace.clone(),
            self.is_member,
            self.beats.subscribe(),
        );
        tokio::select! {
            () = arrivals.closed() => {}
            () = self.receive(&mut subscription) => {
                // Fails if the arrivals were dropped meanwhile.
                let _ = arrivals.send(None).await;
            }
            () = beating => {}
        }
    }

    async fn receive(&mut self, subscription: &mut Subscription<Delivery>) {
        while let Some(incoming) = subscription.recv().await {
            let arrivals = match incoming {
                Incoming::Message(delivery) => self.read(&delivery),
                Incoming::Gap { reason } => vec![Arrival::Gap { reason }],
                _ => Vec::new(),
            };
            for arrival in arrivals {
                if self.arrivals.send(Some(arrival)).await.is_err() {
                    return;
                }
            }
        }
    }

    fn read(&mut self, delivery: &Delivery) -> Vec<Arrival> {
        if let Some(arrival) = self.is_member.then(|| self.read_as_member(delivery)).flatten() {
            return vec![arrival];
        }
        let shared = &self.shared;
        let requester = Requester {
            host_id: &shared.process.host_id,
            uid: &shared.uid,
            namespace: &self.namespace,
            limits: ResponseLimits {
                max_names: MAX_NAMES,
                max_attachments: shared.process.limits.max_attachments,
            },
        };
        let envelopes = match delivery {
            Delivery::Message { message, .. } if shared.plan.adapter == Adapter::Classic => {
                response::classic(message, &requester, || {
                    self.num_unnamed += 1;
                    HostId::from(&*format!("node-{}", self.num_unnamed))
                })
            }
            Delivery::Message { message, .. } => response::cluster(message, &requester),
            Delivery::Entry { entry, .. } if shared.plan.adapter == Adapter::OldStreams => {
                heartbeats::read(entry, &requester, &self.beats)
            }
            _ => Vec::new(),
        };
        envelopes.into_iter().map(Arrival::Message).collect()
    }

    /// Reads what is for servers; `None` if it is a response, or of another namespace.
    fn read_as_member(&self, delivery: &Delivery) -> Option<Arrival> {
        let shared = &self.shared;
        let reader = Reader {
            uid: &shared.uid,
            namespace: &self.namespace,
            limits: shared.process.limits,
            pending: &shared.pending,
        };
        let (read, bytes) = match delivery {
            Delivery::Message { topic, message } if shared.plan.adapter == Adapter::Classic => {
                match shared.plan.classic_kind(topic) {
                    ClassicKind::Broadcast => (member::classic_broadcast(message, &reader), message),
                    ClassicKind::Request => (member::classic_request(message, &reader), message),
                    ClassicKind::Response => return None,
                }
            }
            Delivery::Message { message, .. } => (member::cluster_message(message, &reader), message),
            // Entries before the mark are of the time before this server has begun to listen.
            Delivery::Entry { .. } if shared.plan.adapter == Adapter::OldStreams && !self.beats.borrow().is_current => {
                return None;
            }
            Delivery::Entry { entry, .. } => (member::cluster_entry(entry, &reader), entry.get("data")?),
            _ => return None,
        };
        match read {
            Ok(arrival) => arrival,
            Err(reason) => Some(Arrival::Undecodable {
                reason: Box::new(reason),
                message: bytes.clone(),
            }),
        }
    }
}

/// Which of the classic adapter's channels a message came from.
pub(crate) enum ClassicKind {
    Broadcast,
    Request,
    Response,
}

/// Waits until more than `num_answered` servers have requested heartbeats; returns how many have.
async fn next_hello(live: &mut watch::Receiver<Live>, num_answered: u64) -> u64 {
    if let Ok(live) = live.wait_for(|live| live.num_hellos > num_answered).await {
        return live.num_hellos;
    }
    std::future::pending().await
}

/// Sends the heartbeats of a server where the others know it by them; never completes.
async fn beat(shared: Arc<Shared>, namespace: NamespaceName, is_member: bool, mut live: watch::Receiver<Live>) {
    if shared.plan.adapter != Adapter::OldStreams || !is_member {
        return std::future::pending().await;
    }
    let (stream, mut kind) = (shared.plan.stream(&namespace), heartbeats::INITIAL_HEARTBEAT);
    let mut ticks = tokio::time::interval(heartbeats::INTERVAL);
    let mut num_answered = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // A server that has begun wants to know the others.
            num_hellos = next_hello(&mut live, num_answered) => num_answered = num_hellos,
        }
        let beat = heartbeats::heartbeat(&namespace, &shared.uid, kind);
        kind = heartbeats::HEARTBEAT;
        // The next one follows soon; an outage is reported by the subscription.
        let _ = topics(&*shared.manager).append(&stream, beat).await;
    }
}
