//! How a process asks the servers: the same for hubs and emitters.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::peers::Peers;
use super::request::{ClusterRequest, RequestKind};
use super::responses::{RequestTable, Responses};
use crate::{ClientManager, Envelope, Error, ErrorKind, HostId, Message, wire};

/// What is finite about asking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_servers: usize,
    pub(crate) max_requests: usize,
    pub(crate) max_sockets: usize,
    pub(crate) max_waiting_response_bytes: usize,
    pub(crate) presence_wait: Duration,
}

/// The questions of one process, and whom they go to.
#[derive(Debug)]
pub(crate) struct Requester {
    host_id: HostId,
    pub(crate) peers: Arc<Peers>,
    pub(crate) requests: Arc<RequestTable>,
    pub(crate) limits: Limits,
}

impl Requester {
    pub(crate) fn new(host_id: HostId, limits: Limits) -> Self {
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
    pub(crate) async fn open(&self, others: bool, deadline: Instant) -> Result<(u64, Responses), Error> {
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
    pub(crate) async fn ask(
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
    pub(crate) fn take(&self, from: Option<HostId>, message: Message) -> Option<(Option<HostId>, Message)> {
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
pub(crate) async fn in_time<T>(deadline: Instant, step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let done = timeout_at(deadline, step).await;
    done.unwrap_or_else(|_| Err(too_late("the broker did not take the question in time")))
}

/// Returns what is left of the time to answer.
pub(crate) fn left_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn too_late(text: &str) -> Error {
    Error::new(ErrorKind::Timeout, text)
}
