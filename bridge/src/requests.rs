//! Requests of servers and emitters: what the other fleets respond, in one response.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use manager_api::cluster::{ClusterRequest, RequestKind, ResponsePart, RoomInfo, ServerStatus, SocketInfo};
use manager_api::cluster::{Responses, in_time};
use manager_api::message::{Envelope, Mark};
use manager_api::{Error, HostId, Payload};
use tokio::time::Instant;

use crate::responses;
use crate::shared::{Pair, Shared};

/// What the bridge is called in a list of servers.
const SOFTWARE: &str = concat!("sio-bridge/", env!("CARGO_PKG_VERSION"));

/// The responses of other fleets.
#[derive(Debug, Default)]
struct Merged {
    sockets: Vec<SocketInfo>,
    sockets_bytes: usize,
    rooms: Vec<RoomInfo>,
    count: u64,
    /// The first output with a value.
    output: Option<Payload>,
    is_truncated: bool,
}

impl Merged {
    /// Adds a part, within limits of clients and of their bytes.
    fn add(&mut self, part: ResponsePart, (max, max_bytes): (usize, usize)) {
        match part {
            ResponsePart::Sockets(sockets) => {
                for socket in sockets {
                    self.sockets_bytes += socket.size();
                    if self.sockets.len() >= max || self.sockets_bytes > max_bytes {
                        self.is_truncated = true;
                        return;
                    }
                    self.sockets.push(socket);
                }
            }
            ResponsePart::Rooms(rooms) => {
                let left = max.saturating_sub(self.rooms.len());
                self.is_truncated |= rooms.len() > left;
                self.rooms.extend(rooms.into_iter().take(left));
            }
            ResponsePart::Count(count) => self.count = self.count.saturating_add(count),
            ResponsePart::Event(Some(output)) if self.output.is_none() => self.output = Some(output),
            _ => {}
        }
    }

    /// Returns the response to a request of a kind.
    fn into_parts(self, shared: &Shared, kind: &RequestKind) -> (Vec<ResponsePart>, bool) {
        let parts = match kind {
            RequestKind::Servers => vec![ResponsePart::Present(Box::new(status(shared)))],
            RequestKind::Rooms { .. } => responses::rooms(self.rooms),
            RequestKind::Sockets { .. } => responses::sockets(self.sockets),
            RequestKind::Count { .. } => vec![ResponsePart::Count(self.count)],
            RequestKind::Event { .. } => vec![ResponsePart::Event(self.output)],
        };
        (parts, self.is_truncated)
    }
}

/// Returns the report of the bridge about itself.
fn status(shared: &Shared) -> ServerStatus {
    ServerStatus {
        software: SOFTWARE.to_owned(),
        host_name: format!("bridge {}", shared.name),
        uptime: shared.started.elapsed(),
        clock: SystemTime::now(),
        ..ServerStatus::default()
    }
}

/// Responds to a request: with what the other fleets respond, if this bridge forwards and `mark` is that of a request that
/// no bridge has brought; otherwise at once with nothing, because the process that asks waits for every server.
pub(crate) fn handle(shared: &Arc<Shared>, side: usize, origin: HostId, request: ClusterRequest, mark: Option<Mark>) {
    let Some(id) = request.id else { return };
    let ClusterRequest { kind, timeout, .. } = request;
    let is_carried = mark.is_some() && shared.may_forward() && !matches!(kind, RequestKind::Servers);
    let permit = is_carried.then(|| shared.take_on()).flatten();
    let (Some(permit), Some(mark)) = (permit, mark) else {
        let (parts, is_truncated) = Merged::default().into_parts(shared, &kind);
        return shared.sides[side].respond(&origin, id, parts, is_truncated);
    };
    let time = timeout.mul_f64(0.8).min(shared.options.request_time);
    let carrying = shared.clone();
    shared.spawn(async move {
        let shared = carrying;
        let merged = ask_all(&shared, side, &kind, mark, time).await;
        let (parts, is_truncated) = merged.into_parts(&shared, &kind);
        shared.sides[side].respond(&origin, id, parts, is_truncated);
        drop(permit);
    });
}

/// Asks all other sides at the same time.
async fn ask_all(shared: &Shared, side: usize, kind: &RequestKind, mark: Mark, time: Duration) -> Merged {
    let deadline = Instant::now() + time;
    let namespace = kind.namespace();
    let pairs = shared.pairs_from(side).filter(|pair| shared.passes(pair, &namespace));
    let asked = join_all(pairs.map(|pair| ask(shared, pair, kind, mark, deadline))).await;
    let mut merged = Merged::default();
    let limits = shared.sides[side].requester.limits;
    for response in asked {
        // One that cannot be asked, or has no such request, adds nothing.
        let Ok(parts) = response else { continue };
        for (part, is_truncated) in parts {
            merged.is_truncated |= is_truncated;
            merged.add(part, (limits.max_sockets, limits.max_sockets_bytes));
        }
    }
    merged
}

/// Asks the servers of one side.
async fn ask(
    shared: &Shared,
    pair: &Pair,
    kind: &RequestKind,
    mark: Mark,
    deadline: Instant,
) -> Result<Vec<(ResponsePart, bool)>, Error> {
    let side = &shared.sides[pair.to];
    let namespace = kind.namespace();
    let prepared = async {
        let servers = side.messenger.servers(&namespace).await?;
        let (message, responses) = side.requester.prepare(servers, kind.clone(), deadline).await?;
        let Some(message) = message else {
            return Ok(responses);
        };
        let envelope = Envelope {
            host_id: Some(side.host_id.clone()),
            message,
            mark: Some(mark),
        };
        side.messenger.encode(envelope).publish.await?;
        Ok(responses)
    };
    let responses = in_time(Some(&**side.manager()), deadline, prepared).await?;
    Ok(gather(responses, side.requester.limits.max_sockets_bytes).await)
}

/// Receives parts until all servers have responded, or the time is over.
async fn gather(mut responses: Responses, max_bytes: usize) -> Vec<(ResponsePart, bool)> {
    let (mut parts, mut bytes) = (Vec::new(), 0);
    while let Some(received) = responses.next().await {
        bytes += received.part.num_names() * 32 + 64;
        bytes += match &received.part {
            ResponsePart::Sockets(sockets) => sockets.iter().map(SocketInfo::size).sum(),
            ResponsePart::Rooms(rooms) => rooms.iter().map(RoomInfo::size).sum(),
            _ => 0,
        };
        parts.push((received.part, received.is_truncated));
        if bytes > max_bytes {
            parts.push((ResponsePart::Count(0), true));
            break;
        }
    }
    parts
}
