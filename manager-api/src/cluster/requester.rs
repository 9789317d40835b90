//! How a process asks the servers: the same for hubs and emitters.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::peers::Peers;
use super::request::{ClusterRequest, RequestKind};
use super::responses::{RequestTable, Responses};
use crate::message::{Envelope, Message};
use crate::{ClientManager, Error, ErrorKind, HostId, wire};

/// Limits of the requests of one process.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Other servers that are remembered; beyond, the one that was silent for the longest time is forgotten. Default 1,024.
    pub max_servers: usize,
    /// Requests that may be open; more are refused as [`Busy`](ErrorKind::Busy). Default 1,024.
    pub max_requests: usize,
    /// Clients that the responses to one request may name together. Default 100,000.
    pub max_sockets: usize,
    /// Bytes that these clients may take together, with their rooms and data. Default 64 MiB.
    pub max_sockets_bytes: usize,
    /// Bytes that responses may take together until they are read; one that is larger passes alone. Default 64 MiB.
    pub max_waiting_response_bytes: usize,
    /// How long the other servers have to announce themselves before the first request. Default 1 s.
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
    /// Makes what sends the requests of the process `host_id`.
    pub fn new(host_id: HostId, limits: RequestLimits) -> Self {
        Self {
            host_id,
            peers: Arc::new(Peers::new(limits.max_servers)),
            requests: Arc::new(RequestTable::new(limits.max_waiting_response_bytes)),
            limits,
        }
    }

    /// Opens a question to every server that is known, once those who are there have had the time to say so.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] if too many are open, [`ErrorKind::Timeout`] if this process does not hear the others in that time.
    pub async fn open(&self, others: bool, deadline: Instant) -> Result<(u64, Responses), Error> {
        let mut expected = Vec::new();
        if others {
            let complete = timeout_at(deadline, self.peers.complete()).await;
            complete.map_err(|_| too_late("it is not known yet which servers there are"))?;
            expected = self.peers.ids();
        }
        let (peers, max) = (self.peers.clone(), self.limits.max_requests);
        self.requests.open(peers, expected, deadline, max)
    }

    /// Asks every other server.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and those of publishing.
    pub async fn ask(
        &self,
        manager: &dyn ClientManager,
        ask: RequestKind,
        deadline: Instant,
    ) -> Result<Responses, Error> {
        let (id, responses) = self.open(true, deadline).await?;
        let message = wire::encode(&Envelope {
            host_id: Some(self.host_id.clone()),
            message: Message::Request(ClusterRequest {
                id: Some(id),
                ask,
                timeout: left_until(deadline),
            }),
        });
        in_time(deadline, manager.publish(message)).await?;
        Ok(responses)
    }

    /// Takes what another process says about itself, or in answer to a question. Returns what is neither.
    pub fn take(&self, from: Option<HostId>, message: Message) -> Option<(Option<HostId>, Message)> {
        match (from, message) {
            (Some(from), Message::Response(reply)) => {
                self.peers.heard(&from);
                if reply.to == self.host_id {
                    self.requests.take(from, reply);
                }
            }
            (Some(from), Message::Here) => self.peers.heard(&from),
            (Some(from), Message::Bye) => self.peers.forget(&from),
            (from, message) => return Some((from, message)),
        }
        None
    }
}

/// Gives a step of asking what is left of the time for the whole.
pub async fn in_time<T>(deadline: Instant, step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let done = timeout_at(deadline, step).await;
    done.unwrap_or_else(|_| Err(too_late("the broker did not take the question in time")))
}

/// Returns what is left of the time to answer.
pub fn left_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn too_late(text: &str) -> Error {
    Error::new(ErrorKind::Timeout, text)
}
