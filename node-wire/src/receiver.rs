//! The task of one subscription: reads what arrives, and sends the heartbeats of a server.

use std::sync::Arc;

use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::topics::Delivery;
use manager_api::wire::Arrival;
use manager_api::{Error, HostId, Incoming, NamespaceName, Subscription};
use tokio::sync::{mpsc, watch};

use crate::heartbeats::{self, Live};
use crate::kinds::cluster::{HEARTBEAT, INITIAL_HEARTBEAT};
use crate::member::{self, Reader};
use crate::messenger::Shared;
use crate::outgoing::EMITTER;
use crate::plan::{Adapter, ClassicKind, Reads};
use crate::response::{self, Requester, ResponseLimits};
use crate::retire::LateRequests;

/// Why a subscription is read no more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    ManagerClosed,
    /// Another subscription takes over.
    ServerCloses,
    /// The arrivals were dropped.
    Unread,
}

/// The task of one subscription.
pub(crate) struct Receiver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) namespace: NamespaceName,
    pub(crate) reads: Reads,
    pub(crate) arrivals: mpsc::Sender<Option<Arrival>>,
    pub(crate) beats: watch::Sender<Live>,
    /// Responses of servers that do not name themselves.
    pub(crate) num_unnamed: u64,
}

impl Receiver {
    /// Receives until the manager is closed or the arrivals are dropped.
    pub(crate) async fn run(mut self, mut subscription: Subscription<Delivery>) {
        let arrivals = self.arrivals.clone();
        let is_member = self.reads.is_member();
        let beating = beat(
            self.shared.clone(),
            self.namespace.clone(),
            is_member,
            self.beats.subscribe(),
        );
        tokio::select! {
            () = arrivals.closed() => {}
            ended = self.receive(&mut subscription) => {
                if ended == Ended::ManagerClosed {
                    // Fails if the arrivals were dropped meanwhile.
                    let _ = arrivals.send(None).await;
                }
            }
            () = beating => {}
        }
    }

    async fn receive(&mut self, subscription: &mut Subscription<Delivery>) -> Ended {
        let mut late = LateRequests::new(&self.shared);
        let mut retired = self.shared.retired.subscribe();
        loop {
            let arrivals = tokio::select! {
                biased;
                // What has arrived is read to the end: no other subscription may have received it.
                incoming = subscription.recv() => match incoming {
                    Some(incoming) => self.arrivals_of(incoming, &mut late),
                    None => return Ended::ManagerClosed,
                },
                arrival = late.next() => vec![arrival],
                () = until_true(&mut retired), if self.reads != Reads::Retiring => return Ended::ServerCloses,
            };
            for arrival in arrivals {
                if self.arrivals.send(Some(arrival)).await.is_err() {
                    return Ended::Unread;
                }
            }
        }
    }

    fn arrivals_of(&mut self, incoming: Incoming<Delivery>, late: &mut LateRequests) -> Vec<Arrival> {
        let arrivals = match incoming {
            Incoming::Message(delivery) => self.read(&delivery),
            Incoming::Gap { reason } => vec![Arrival::Gap { reason }],
            _ => Vec::new(),
        };
        match self.reads {
            Reads::Retiring => late.take_all(arrivals),
            _ => arrivals,
        }
    }

    fn read(&mut self, delivery: &Delivery) -> Vec<Arrival> {
        if self.reads != Reads::Responses
            && let Some(arrival) = self.read_as_member(delivery)
        {
            self.note_alive(&arrival);
            return vec![arrival];
        }
        let shared = &self.shared;
        let requester = Requester {
            host_id: &shared.process.host_id,
            uid: &shared.uid,
            namespace: &self.namespace,
            limits: ResponseLimits {
                max_names: shared.plan.limits.max_names_in_response,
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
            Delivery::Message { message, .. } if shared.plan.adapter == Adapter::Postgres => {
                let max_servers = shared.plan.limits.max_servers;
                heartbeats::read_message(message, &requester, &self.beats, max_servers)
            }
            Delivery::Message { message, .. } => response::cluster(message, &requester),
            Delivery::Entry { entry, .. } if shared.plan.adapter == Adapter::OldStreams => {
                let max_servers = shared.plan.limits.max_servers;
                heartbeats::read(entry, &requester, &self.beats, max_servers)
            }
            _ => Vec::new(),
        };
        if self.reads == Reads::Requests {
            return Vec::new();
        }
        envelopes.into_iter().map(Arrival::Message).collect()
    }

    /// Records that the server is alive that has sent a message: one that is busy sends no heartbeats beside it.
    fn note_alive(&self, arrival: &Arrival) {
        let plan = &self.shared.plan;
        if let Arrival::Message(envelope) = arrival
            && let Some(server) = envelope.host_id.as_ref().filter(|id| id.as_str() != EMITTER)
            && plan.adapter.has_heartbeats()
        {
            self.beats.send_if_modified(|live| {
                live.heard(server, plan.limits.max_servers);
                false
            });
        }
    }

    /// Reads what is for servers; `None` if it is a response, or of another namespace.
    fn read_as_member(&self, delivery: &Delivery) -> Option<Arrival> {
        let shared = &self.shared;
        let reader = Reader {
            uid: &shared.uid,
            namespace: &self.namespace,
            limits: shared.process.limits,
            pending: &shared.pending,
            is_retiring: self.reads == Reads::Retiring,
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
            Delivery::Entry { .. }
                if shared.plan.adapter == Adapter::OldStreams && self.beats.borrow().current_at.is_none() =>
            {
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

/// Waits until a value is true; for ever if its sender is gone. Cancel safe.
async fn until_true(value: &mut watch::Receiver<bool>) {
    if value.wait_for(|value| *value).await.is_err() {
        std::future::pending().await
    }
}

/// Waits until more than `num_answered` servers have requested heartbeats; returns how many have.
async fn next_hello(live: &mut watch::Receiver<Live>, num_answered: u64) -> u64 {
    if let Ok(live) = live.wait_for(|live| live.num_hellos > num_answered).await {
        return live.num_hellos;
    }
    std::future::pending().await
}

fn note_failure(namespace: &NamespaceName, error: &Error) {
    static FAILED: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = FAILED.pass() {
        let (namespace, error) = (Escaped(namespace), Escaped(error));
        let text = "cannot send a heartbeat: other servers will not wait for the responses of this one; trying again";
        quietly(|| tracing::warn!(suppressed, ?namespace, ?error, "{text}"));
    }
}

/// Sends the heartbeats of a server where the others know it by them; never completes.
async fn beat(shared: Arc<Shared>, namespace: NamespaceName, is_member: bool, mut live: watch::Receiver<Live>) {
    if !shared.plan.adapter.has_heartbeats() || !is_member {
        return std::future::pending().await;
    }
    // Those that know of it expect responses at once.
    if live.wait_for(|live| live.current_at.is_some()).await.is_err() {
        return std::future::pending().await;
    }
    let mut kind = match shared.plan.adapter {
        // It has greeted already.
        Adapter::Postgres => HEARTBEAT,
        _ => INITIAL_HEARTBEAT,
    };
    let mut ticks = tokio::time::interval(heartbeats::INTERVAL);
    let mut num_answered = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // A server that has begun wants to know the others.
            num_hellos = next_hello(&mut live, num_answered) => num_answered = num_hellos,
        }
        let beat = shared.heartbeat(&namespace, kind);
        kind = HEARTBEAT;
        if let Err(error) = beat.send(&*shared.manager).await {
            note_failure(&namespace, &error);
        }
    }
}
