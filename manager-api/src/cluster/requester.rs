//! The sending side of cluster requests, common to hubs and emitters.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::peers::Peers;
use super::request::{ClusterRequest, RequestKind};
use super::responses::{Expected, RequestTable, Responses};
use crate::message::Message;
use crate::wire::Servers;
use crate::{ClientManager, Error, ErrorKind, Health, HostId};

/// Limits of the requests of one process.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Other servers kept in the table; a further one replaces the server that was silent for the longest time. Default
    /// 1,024.
    pub max_servers: usize,
    /// Open requests; more are refused as [`Busy`](ErrorKind::Busy). Default 1,024.
    pub max_requests: usize,
    /// Total number of clients in the responses to one request. Default 100,000.
    pub max_sockets: usize,
    /// Total bytes of these clients, with their rooms and data. Default 64 MiB.
    pub max_sockets_bytes: usize,
    /// Total bytes of unread responses; a larger one is accepted if it is the only one. Default 64 MiB.
    pub max_waiting_response_bytes: usize,
    /// Time for the other servers to announce themselves before the first request. Default 1 s.
    pub presence_wait: Duration,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            max_servers: 1_024,
            max_requests: 1_024,
            max_sockets: 100_000,
            max_sockets_bytes: 64 << 20,
            max_waiting_response_bytes: 64 << 20,
            presence_wait: Duration::from_secs(1),
        }
    }
}

/// The requests of one process, and the servers that they go to.
#[derive(Debug)]
pub struct Requester {
    host_id: HostId,
    /// The servers that requests go to.
    pub peers: Arc<Peers>,
    /// The requests that wait for responses.
    pub requests: Arc<RequestTable>,
    /// Their limits.
    pub limits: RequestLimits,
}

impl Requester {
    /// Creates the requester of the process `host_id`.
    pub fn new(host_id: HostId, limits: RequestLimits) -> Self {
        Self {
            host_id,
            peers: Arc::new(Peers::new(limits.max_servers)),
            requests: Arc::new(RequestTable::new(limits.max_waiting_response_bytes)),
            limits,
        }
    }

    /// Opens a request that expects responses from `servers`; with [`Servers::Announced`] from every known one, once
    /// server discovery is complete. With `None` it expects none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] if too many are open, [`ErrorKind::Timeout`] if discovery does not complete by `deadline`.
    pub async fn open(&self, servers: Option<Servers>, deadline: Instant) -> Result<(u64, Responses), Error> {
        let expected = match servers {
            None => Expected::default(),
            Some(Servers::Named(named)) => Expected { named, unnamed: 0 },
            Some(Servers::Counted(count)) => Expected {
                named: Vec::new(),
                unnamed: count.min(self.limits.max_servers),
            },
            Some(Servers::Announced) => {
                let complete = timeout_at(deadline, self.peers.complete()).await;
                complete.map_err(|_| too_late("discovery of the other servers was not complete in time"))?;
                Expected {
                    named: self.peers.ids(),
                    unnamed: 0,
                }
            }
        };
        let (peers, max) = (self.peers.clone(), self.limits.max_requests);
        self.requests.open(peers, expected, deadline, max)
    }

    /// Opens a request to `servers`; returns the message to publish, and the responses. There is no message where it is
    /// known that no server would respond: on the topics of a fleet with another adapter it would be taken for a message
    /// of that one. Node's servers send none then, either.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn prepare(
        &self,
        servers: Servers,
        kind: RequestKind,
        deadline: Instant,
    ) -> Result<(Option<Message>, Responses), Error> {
        if servers.is_none() && kind.is_on_every_wire() {
            return Ok((None, self.open(None, deadline).await?.1));
        }
        let (id, responses) = self.open(Some(servers), deadline).await?;
        let request = ClusterRequest {
            id: Some(id),
            kind,
            timeout: left_until(deadline),
        };
        Ok((Some(Message::Request(request)), responses))
    }

    /// Handles responses and presence messages of other processes. Returns any other message.
    pub fn receive(&self, from: Option<HostId>, message: Message) -> Option<(Option<HostId>, Message)> {
        match (from, message) {
            (Some(from), Message::Response(response)) => {
                self.peers.record(&from);
                if response.to == self.host_id {
                    self.requests.receive(from, response);
                }
            }
            (Some(from), Message::Present) => self.peers.record(&from),
            (Some(from), Message::Bye) => self.peers.forget(&from),
            (from, message) => return Some((from, message)),
        }
        None
    }
}

/// Runs a step of a request, limited by the deadline of the whole. Without a connection to the broker, the error has the
/// manager's reason.
pub async fn in_time<T>(
    manager: Option<&dyn ClientManager>,
    deadline: Instant,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let done = timeout_at(deadline, step).await;
    done.unwrap_or_else(|_| {
        let health = manager.map(ClientManager::health);
        let is_cut_off = |health: &Health| health.publishing_since.is_none() && health.listening_since.is_none();
        Err(match health.filter(is_cut_off).and_then(|health| health.last_error) {
            Some((_, reason)) => too_late(&format!("the broker could not be reached in time: {reason}")),
            None => too_late("the broker did not accept the request in time"),
        })
    })
}

/// Returns the time left until `deadline`; zero once it has passed.
pub fn left_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn too_late(text: &str) -> Error {
    // It is not known which step was interrupted.
    Error::new(ErrorKind::Timeout, text).possibly_published()
}
