//! The aggregated results of cluster requests.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::request::ResponsePart;
use super::responses::Responses;
use crate::ack::{AckStream, ClientAck};
use crate::turn::Turn;
use crate::{Error, ErrorKind, HostId, NamespaceName, Payload, Room, Sid};

/// The combined responses of the servers, and the servers that did not respond.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gathered<T> {
    /// The combined value of the responses.
    pub found: T,
    /// The number of servers that responded. 0 if there are none, or only servers of python-socketio.
    pub num_servers: usize,
    /// Known servers whose response was missing or incomplete at the deadline; they are not expected to respond again
    /// until a message of them is received.
    pub missing_servers: Vec<HostId>,
    /// Whether a limit cut the result.
    pub is_truncated: bool,
}

/// A client of any server of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteSocket {
    /// Its id.
    pub id: Sid,
    /// Its namespace.
    pub namespace: NamespaceName,
    /// Its rooms, the one named by its id first.
    pub rooms: Vec<Room>,
    /// The server it is connected to.
    pub server: HostId,
    /// Time since its connection was opened, when its server responded; `None` if it does not report that.
    pub connected_for: Option<Duration>,
    /// The name of its transport, `websocket` or `polling`; `None` if its server does not report that.
    pub transport: Option<Arc<str>>,
    data: Option<Arc<str>>,
}

impl RemoteSocket {
    /// Reads the data that the application on its server keeps with it; `None` if there is none, or it is `null`.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) if it does not fit `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        read_data(self.data_json())
    }

    /// Returns the JSON text of [`data`](Self::data).
    pub fn data_json(&self) -> Option<&str> {
        self.data.as_deref()
    }
}

/// Reads the application's data of a client; `null` reads as `None`.
pub fn read_data<T: DeserializeOwned>(json: Option<&str>) -> Result<Option<T>, Error> {
    let Some(json) = json else {
        return Ok(None);
    };
    serde_json::from_str(json).map_err(|error| {
        let text = "the data of the client does not have the expected form";
        Error::new(ErrorKind::Malformed, text).with_source(error)
    })
}

/// One server's response to an event for servers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServerResponse {
    /// The server.
    pub server: HostId,
    /// The output of its handler; `None` if it has no handler for the event, or the handler failed.
    pub payload: Option<Payload>,
}

/// The outcome of an event that every recipient was to acknowledge.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct AckReport {
    /// The acknowledgements, in order of arrival. Those of clients on a server of other software do not name the client.
    pub acks: Vec<ClientAck>,
    /// Clients that were sent the event and did not acknowledge it: they took too long, or left.
    pub missing_clients: Vec<Sid>,
    /// The number of further such clients, on servers that count their clients and do not name them: those of Node.
    pub num_missing_unnamed: u64,
    /// Servers that did not report their recipients in time; whether they received the event is unknown.
    pub missing_servers: Vec<HostId>,
    /// Whether there were more recipients than a limit allows to name; clients may be missing that are not named.
    pub is_truncated: bool,
    /// Why the event was not published, if publishing failed; clients of this server have received it all the same.
    pub failure: Option<Error>,
}

impl AckReport {
    /// Returns whether every client that was sent the event has acknowledged it.
    pub fn is_complete(&self) -> bool {
        self.missing_clients.is_empty()
            && self.num_missing_unnamed == 0
            && self.missing_servers.is_empty()
            && !self.is_truncated
            && self.failure.is_none()
    }

    fn add(&mut self, tally: &mut Tally, ack: ClientAck) {
        match &ack.client {
            Some(sid) => tally.record_ack(sid),
            None => tally.num_unnamed_acks += 1,
        }
        self.acks.push(ack);
    }
}

/// Combines all parts into one value with `read`, until it returns `false`: the limit is reached.
pub(super) async fn gather<T>(
    mut responses: Responses,
    mut found: T,
    mut read: impl FnMut(&mut T, HostId, ResponsePart) -> bool,
) -> Gathered<T> {
    let (mut is_truncated, mut turn) = (false, Turn::default());
    while let Some(received) = responses.next().await {
        turn.spend(received.part.num_names()).await;
        is_truncated |= received.is_truncated;
        if !read(&mut found, received.from, received.part) {
            is_truncated = true;
            break;
        }
    }
    Gathered {
        found,
        num_servers: responses.num_complete(),
        is_truncated: is_truncated || responses.has_ignored_servers(),
        missing_servers: responses.into_missing(),
    }
}

pub(crate) async fn counted(responses: Responses) -> Gathered<u64> {
    gather(responses, 0_u64, |found, _, part| {
        if let ResponsePart::Count(count) = part {
            *found = found.saturating_add(count);
        }
        true
    })
    .await
}

/// Collects clients, up to `limit` of them and `max_bytes`.
pub(crate) async fn sockets(
    responses: Responses,
    namespace: NamespaceName,
    (limit, max_bytes): (usize, usize),
) -> Gathered<Vec<RemoteSocket>> {
    let mut bytes = 0;
    gather(responses, Vec::new(), |found: &mut Vec<RemoteSocket>, server, part| {
        let ResponsePart::Sockets(sockets) = part else {
            return true;
        };
        bytes += ResponsePart::size_of_sockets(&sockets);
        if bytes > max_bytes {
            return false;
        }
        let capacity = limit - found.len();
        let fits = sockets.len() <= capacity;
        found.extend(sockets.into_iter().take(capacity).map(|socket| RemoteSocket {
            id: socket.id,
            namespace: namespace.clone(),
            rooms: socket.rooms,
            server: server.clone(),
            connected_for: socket.details.connected_for,
            transport: socket.details.transport,
            data: socket.details.data,
        }));
        fits
    })
    .await
}

/// Collects the responses to an event for servers.
///
/// # Cancel safety
///
/// Dropping the future closes the request.
pub async fn server_responses(responses: Responses) -> Gathered<Vec<ServerResponse>> {
    gather(responses, Vec::new(), |found, server, part| {
        if let ResponsePart::Event(payload) = part {
            found.push(ServerResponse { server, payload });
        }
        true
    })
    .await
}

/// The recipients of an event, by the state of their acknowledgement.
#[derive(Default)]
struct Tally {
    /// Were sent the event, and may still acknowledge it.
    pending: HashSet<Sid>,
    acked: HashSet<Sid>,
    /// Left before they acknowledged.
    left: HashSet<Sid>,
    /// Recipients that their servers count and do not name, and acknowledgements of such.
    num_unnamed: u64,
    num_unnamed_acks: u64,
    is_truncated: bool,
}

impl Tally {
    /// Returns whether every recipient is known and has acknowledged the event or left.
    fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.num_missing_unnamed() == 0 && !self.is_truncated
    }

    fn num_missing_unnamed(&self) -> u64 {
        self.num_unnamed.saturating_sub(self.num_unnamed_acks)
    }

    fn record_ack(&mut self, sid: &Sid) {
        self.pending.remove(sid);
        self.left.remove(sid);
        self.acked.insert(sid.clone());
    }

    /// Records a part of a server's response; tracks at most `limit` clients.
    async fn record_part(&mut self, part: ResponsePart, limit: usize, turn: &mut Turn) {
        match part {
            ResponsePart::Recipients(clients) => {
                for sid in clients {
                    turn.spend(1).await;
                    self.record_recipient(sid, limit);
                }
            }
            ResponsePart::Left(clients) => {
                for sid in clients {
                    turn.spend(1).await;
                    self.record_left(sid, limit);
                }
            }
            ResponsePart::Count(clients) => self.num_unnamed = self.num_unnamed.saturating_add(clients),
            _ => {}
        }
    }

    fn record_recipient(&mut self, sid: Sid, limit: usize) {
        if self.acked.contains(&sid) || self.left.contains(&sid) {
            return;
        }
        if self.pending.len() + self.left.len() < limit {
            self.pending.insert(sid);
        } else {
            self.is_truncated = true;
        }
    }

    fn record_left(&mut self, sid: Sid, limit: usize) {
        if !self.acked.contains(&sid) && self.left.len() < limit {
            self.pending.remove(&sid);
            self.left.insert(sid);
        }
    }
}

/// Waits until every client that was sent the event has acknowledged it or left, or the deadline passes.
pub(crate) async fn acknowledgements(mut acks: AckStream, mut responses: Responses, limit: usize) -> AckReport {
    let (mut tally, mut turn) = (Tally::default(), Turn::default());
    // Before the loop, which does not poll the stream if there is nothing to wait for.
    let mut report = AckReport {
        failure: acks.take_failure(),
        ..AckReport::default()
    };
    if report.failure.is_some() {
        responses.not_sent();
    }
    let mut has_ended = false;
    // Recipients that are not named can only be waited for until the deadline.
    while !(responses.is_complete() && tally.is_settled()) {
        tokio::select! {
            biased;
            received = responses.next_until_deadline() => {
                let Some(received) = received else { break };
                tally.is_truncated |= received.is_truncated;
                tally.record_part(received.part, limit, &mut turn).await;
            }
            ack = acks.next(), if !has_ended => match ack {
                Some(Ok(ack)) => report.add(&mut tally, ack),
                // Unreachable: the failure was taken above.
                Some(Err(error)) => report.failure = Some(error),
                // The responses have the same deadline, at which they name the missing servers.
                None => has_ended = true,
            },
        }
    }
    // Publishing may have taken until the deadline while clients of this server acknowledged.
    while let Some(ack) = acks.next_waiting() {
        report.add(&mut tally, ack);
        turn.spend(1).await;
    }
    report.num_missing_unnamed = tally.num_missing_unnamed();
    report.missing_clients = sorted(tally.pending.into_iter().chain(tally.left), &mut turn).await;
    report.is_truncated = tally.is_truncated;
    report.missing_servers = responses.into_missing();
    report
}

/// Sorts clients; yields periodically.
async fn sorted(clients: impl Iterator<Item = Sid>, turn: &mut Turn) -> Vec<Sid> {
    let mut sorted = BTreeSet::new();
    for sid in clients {
        sorted.insert(sid);
        turn.spend(1).await;
    }
    sorted.into_iter().collect()
}
