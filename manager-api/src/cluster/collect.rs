//! What the answers of the servers add up to.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::request::ResponsePart;
use super::responses::Responses;
use crate::ack::{AckStream, ClientAck};
use crate::turn::Turn;
use crate::{Error, ErrorKind, HostId, NamespaceName, Payload, Room, Sid};

/// What the servers answered together, and who did not.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gathered<T> {
    /// What those said that answered.
    pub found: T,
    /// Servers that were known and did not answer in time, or not wholly; they are not waited for again until they are heard.
    pub missing_servers: Vec<HostId>,
    /// There is more than a limit allows to tell.
    pub is_truncated: bool,
}

/// A client, on whichever server it is connected.
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
    data: Option<Arc<str>>,
}

impl RemoteSocket {
    /// Reads what the code of its server keeps with it for others to see; `None` if that is nothing, or `null`.
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

/// Reads what is kept with a client; `null` is nothing.
pub fn read_data<T: DeserializeOwned>(json: Option<&str>) -> Result<Option<T>, Error> {
    let Some(json) = json else {
        return Ok(None);
    };
    serde_json::from_str(json).map_err(|error| {
        let text = "the data of the client has another form than expected";
        Error::new(ErrorKind::Malformed, text).with_source(error)
    })
}

/// What one server answers to an event for servers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServerResponse {
    /// The server.
    pub server: HostId,
    /// What its handler answered; `None` if it has no handler for the event, or that failed.
    pub payload: Option<Payload>,
}

/// What became of an event that everybody was to acknowledge.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct AckReport {
    /// The answers, in the order in which they came. Those of clients on a python-socketio server name no client.
    pub acks: Vec<ClientAck>,
    /// Clients that were sent the event and did not answer: they took too long, or left.
    pub missing_clients: Vec<Sid>,
    /// Servers that did not tell in time whom they sent the event to, if they got it.
    pub missing_servers: Vec<HostId>,
    /// More clients were sent the event than a limit allows to name: clients may be missing that are not named.
    pub is_truncated: bool,
    /// Why the event was not published, if it was not: clients of this server have got it all the same.
    pub failure: Option<Error>,
}

impl AckReport {
    /// Tells whether everybody who was sent the event has answered.
    pub fn is_complete(&self) -> bool {
        self.missing_clients.is_empty()
            && self.missing_servers.is_empty()
            && !self.is_truncated
            && self.failure.is_none()
    }

    fn add(&mut self, roll: &mut Roll, answer: ClientAck) {
        if let Some(sid) = &answer.client {
            roll.answered(sid);
        }
        self.acks.push(answer);
    }
}

/// Reads the parts that `read` knows what to do with into one value.
async fn gather<T>(
    mut responses: Responses,
    mut found: T,
    mut read: impl FnMut(&mut T, HostId, ResponsePart) -> bool,
) -> Gathered<T> {
    let (mut is_truncated, mut turn) = (false, Turn::default());
    while let Some(heard) = responses.next().await {
        turn.spend(heard.part.num_names()).await;
        is_truncated |= heard.is_truncated;
        if !read(&mut found, heard.from, heard.part) {
            is_truncated = true;
            break;
        }
    }
    Gathered {
        found,
        missing_servers: responses.into_missing(),
        is_truncated,
    }
}

/// Collects the servers that respond, sorted by their ids.
///
/// # Cancel safety
///
/// Dropping the future forgets the request.
pub async fn servers(responses: Responses) -> Gathered<Vec<HostId>> {
    let mut gathered = gather(responses, Vec::new(), |found, from, _| {
        found.push(from);
        true
    })
    .await;
    gathered.found.sort();
    gathered
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

/// Stops at `limit` clients, or where these would take more than `max_bytes`.
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
        let room = limit - found.len();
        let fits = sockets.len() <= room;
        found.extend(sockets.into_iter().take(room).map(|socket| RemoteSocket {
            id: socket.id,
            namespace: namespace.clone(),
            rooms: socket.rooms,
            server: server.clone(),
            data: socket.data,
        }));
        fits
    })
    .await
}

/// Collects the responses to an event for servers.
///
/// # Cancel safety
///
/// Dropping the future forgets the request.
pub async fn server_responses(responses: Responses) -> Gathered<Vec<ServerResponse>> {
    gather(responses, Vec::new(), |found, server, part| {
        if let ResponsePart::Event(payload) = part {
            found.push(ServerResponse { server, payload });
        }
        true
    })
    .await
}

/// Whom an event was sent to, and who of them has answered.
#[derive(Default)]
struct Roll {
    /// Sent the event, and may still answer.
    open: HashSet<Sid>,
    answered: HashSet<Sid>,
    /// Left before they answered.
    left: HashSet<Sid>,
    is_truncated: bool,
}

impl Roll {
    fn answered(&mut self, sid: &Sid) {
        self.open.remove(sid);
        self.left.remove(sid);
        self.answered.insert(sid.clone());
    }

    /// At most `limit` clients are kept track of.
    async fn take(&mut self, part: ResponsePart, limit: usize, turn: &mut Turn) {
        match part {
            ResponsePart::Recipients(clients) => {
                for sid in clients {
                    turn.spend(1).await;
                    self.asked(sid, limit);
                }
            }
            ResponsePart::Left(clients) => {
                for sid in clients {
                    turn.spend(1).await;
                    self.has_left(sid, limit);
                }
            }
            _ => {}
        }
    }

    fn asked(&mut self, sid: Sid, limit: usize) {
        if self.answered.contains(&sid) || self.left.contains(&sid) {
            return;
        }
        match self.open.len() + self.left.len() < limit {
            true => drop(self.open.insert(sid)),
            false => self.is_truncated = true,
        }
    }

    fn has_left(&mut self, sid: Sid, limit: usize) {
        if !self.answered.contains(&sid) && self.left.len() < limit {
            self.open.remove(&sid);
            self.left.insert(sid);
        }
    }
}

/// Waits until everybody who was sent the event has answered or left, or the deadline passes.
pub(crate) async fn acknowledgements(mut answers: AckStream, mut responses: Responses, limit: usize) -> AckReport {
    let (mut roll, mut turn) = (Roll::default(), Turn::default());
    // Before all else: where nobody is waited for, the answers are never asked.
    let mut report = AckReport {
        failure: answers.take_failure(),
        ..AckReport::default()
    };
    if report.failure.is_some() {
        responses.not_sent();
    }
    let mut is_over = false;
    // Whoever is not named can only be waited for until the deadline.
    while !(responses.is_complete() && roll.open.is_empty() && !roll.is_truncated) {
        tokio::select! {
            biased;
            heard = responses.next_until_deadline() => {
                let Some(heard) = heard else { break };
                roll.is_truncated |= heard.is_truncated;
                roll.take(heard.part, limit, &mut turn).await;
            }
            answer = answers.next(), if !is_over => match answer {
                Some(Ok(answer)) => report.add(&mut roll, answer),
                // It was taken before.
                Some(Err(error)) => report.failure = Some(error),
                // The deadline of the replies is the same, and names who is missing.
                None => is_over = true,
            },
        }
    }
    // Publishing may have taken all the time that there was, and clients of this server have answered meanwhile.
    while let Some(answer) = answers.next_waiting() {
        report.add(&mut roll, answer);
        turn.spend(1).await;
    }
    report.missing_clients = sorted(roll.open.into_iter().chain(roll.left), &mut turn).await;
    report.is_truncated = roll.is_truncated;
    report.missing_servers = responses.into_missing();
    report
}

/// Sorts clients, and lets other tasks run now and then.
async fn sorted(clients: impl Iterator<Item = Sid>, turn: &mut Turn) -> Vec<Sid> {
    let mut sorted = BTreeSet::new();
    for sid in clients {
        sorted.insert(sid);
        turn.spend(1).await;
    }
    sorted.into_iter().collect()
}
