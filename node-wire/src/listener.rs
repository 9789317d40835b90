//! Receiving: one subscription for each namespace with requests, whose responses go into one stream of arrivals.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::unfold;
use manager_api::topics::Delivery;
use manager_api::wire::{Arrival, Arrivals};
use manager_api::{Error, ErrorKind, HostId, Incoming, NamespaceName, Subscription};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::heartbeats::{self, Live};
use crate::messenger::{NodeMessenger, topics};
use crate::plan::Adapter;
use crate::response::{self, Requester, ResponseLimits};

/// Arrivals that wait to be received; beyond that the subscriptions are not read.
const WAITING_ARRIVALS: usize = 64;

/// Namespaces whose responses one process can receive: each has a connection to the broker.
const MAX_NAMESPACES: usize = 64;

const LIMITS: ResponseLimits = ResponseLimits {
    max_names: 1 << 18,
    max_attachments: 1 << 10,
};

/// The namespaces with requests.
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

impl Listening {
    pub(crate) fn new() -> (Self, Arrivals) {
        let (arrivals, receiver) = mpsc::channel(WAITING_ARRIVALS);
        let listening = Self {
            arrivals,
            namespaces: HashMap::new(),
        };
        let stream = unfold(receiver, |mut receiver| async {
            let arrival = receiver.recv().await??;
            Some((arrival, receiver))
        });
        (listening, stream.boxed())
    }
}

impl NodeMessenger {
    /// Subscribes to the responses about a namespace, unless that was done. Returns the servers that have a heartbeat,
    /// where the adapter knows them by that.
    pub(crate) async fn listen(&self, namespace: &NamespaceName) -> Result<Option<Vec<HostId>>, Error> {
        let mut live = {
            let mut listening = self.listening.lock().await;
            let Some(listening) = listening.as_mut() else {
                return Err(Error::new(ErrorKind::Config, "responses are not received yet"));
            };
            match listening.namespaces.get(namespace) {
                Some(listener) if !listener.task.is_finished() => listener.live.clone(),
                _ => self.subscribe(listening, namespace).await?,
            }
        };
        match &mut live {
            Some(live) => heartbeats::servers(live).await.map(Some),
            None => Ok(None),
        }
    }

    async fn subscribe(
        &self,
        listening: &mut Listening,
        namespace: &NamespaceName,
    ) -> Result<Option<watch::Receiver<Live>>, Error> {
        listening.namespaces.retain(|_, listener| !listener.task.is_finished());
        if listening.namespaces.len() >= MAX_NAMESPACES {
            let text = format!("requests about {MAX_NAMESPACES} namespaces are received already, which is the limit");
            return Err(Error::new(ErrorKind::Busy, text));
        }
        let interests = self.plan.responses(namespace, &self.uid);
        let subscription = topics(&*self.manager).subscribe_to(interests).await?;
        let (beats, live) = watch::channel(Live::default());
        let receiver = Receiver {
            host_id: self.process.host_id.clone(),
            uid: self.uid.clone(),
            namespace: namespace.clone(),
            adapter: self.plan.adapter,
            arrivals: listening.arrivals.clone(),
            beats,
            num_unnamed: 0,
        };
        let has_heartbeats = self.plan.adapter == Adapter::OldStreams;
        let listener = Listener {
            task: tokio::spawn(receiver.run(subscription)),
            live: has_heartbeats.then_some(live),
        };
        if has_heartbeats {
            let (stream, mark) = (self.plan.stream(namespace), heartbeats::mark(namespace, &self.uid));
            topics(&*self.manager).append(&stream, mark).await?;
        }
        let live = listener.live.clone();
        listening.namespaces.insert(namespace.clone(), listener);
        Ok(live)
    }
}

/// The task of one subscription.
struct Receiver {
    host_id: HostId,
    uid: Arc<str>,
    namespace: NamespaceName,
    adapter: Adapter,
    arrivals: mpsc::Sender<Option<Arrival>>,
    beats: watch::Sender<Live>,
    /// Responses of servers that do not name themselves.
    num_unnamed: u64,
}

impl Receiver {
    /// Receives until the manager is closed or the arrivals are dropped.
    async fn run(mut self, mut subscription: Subscription<Delivery>) {
        let arrivals = self.arrivals.clone();
        tokio::select! {
            () = arrivals.closed() => {}
            () = self.receive(&mut subscription) => {
                // Fails if the arrivals were dropped meanwhile.
                let _ = arrivals.send(None).await;
            }
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
        let requester = Requester {
            host_id: &self.host_id,
            uid: &self.uid,
            namespace: &self.namespace,
            limits: LIMITS,
        };
        let envelopes = match delivery {
            Delivery::Message { message, .. } if self.adapter == Adapter::Classic => {
                response::classic(message, &requester, || {
                    self.num_unnamed += 1;
                    HostId::from(&*format!("node-{}", self.num_unnamed))
                })
            }
            Delivery::Message { message, .. } => response::cluster(message, &requester),
            Delivery::Entry { entry, .. } => heartbeats::read(entry, &requester, &self.beats),
            _ => Vec::new(),
        };
        envelopes.into_iter().map(Arrival::Message).collect()
    }
}
