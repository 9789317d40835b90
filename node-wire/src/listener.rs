//! Receiving: one subscription for each namespace, whose messages go into one stream of arrivals.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::unfold;
use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::wire::{Arrival, Arrivals};
use manager_api::{Backoff, Error, ErrorKind, NamespaceName};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::heartbeats::{self, Live};
use crate::messenger::{Shared, topics};
use crate::plan::Adapter;
use crate::receiver::{Reads, Receiver};

/// Arrivals that wait to be received; beyond that the subscriptions are not read.
const WAITING_ARRIVALS: usize = 64;

/// Namespaces whose messages one process can receive: each has connections to the broker.
const MAX_NAMESPACES: usize = 64;

/// The waits between attempts to subscribe to a namespace.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The namespaces that are subscribed to.
pub(crate) struct Listening {
    /// `None` as an item ends the arrivals.
    pub(crate) arrivals: mpsc::Sender<Option<Arrival>>,
    pub(crate) namespaces: HashMap<NamespaceName, Listener>,
}

/// The subscription of one namespace.
pub(crate) struct Listener {
    pub(crate) task: JoinHandle<()>,
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
    let (arrivals, receiver) = mpsc::channel(WAITING_ARRIVALS);
    *shared.listening.lock().await = Some(Listening {
        arrivals: arrivals.clone(),
        namespaces: HashMap::new(),
    });
    if shared.is_server() {
        for namespace in shared.unattended().await {
            match shared.listen(&namespace).await {
                // It closes already, and responds to those that know of it.
                Err(_) if shared.is_retired.load(Ordering::Relaxed) => break,
                listened => listened.map(drop)?,
            }
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
        if self.is_retired.load(Ordering::Relaxed) {
            return Vec::new();
        }
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
            _ if self.is_retired.load(Ordering::Relaxed) => Err(Error::new(ErrorKind::Closed, "this process closes")),
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
            reads: match is_member {
                true => Reads::Everything,
                false => Reads::Responses,
            },
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
