//! Responses and acknowledgements to the processes of a side: their queue, and their parts.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use manager_api::byte_budget::{ByteBudget, BytePermit};
use manager_api::cluster::{ClusterResponse, ResponsePart, RoomInfo, SocketInfo};
use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::message::{Envelope, Message};
use manager_api::wire::Encoded;
use manager_api::{HostId, Sid};
use tokio::sync::mpsc;

use crate::counters::count;
use crate::side::SideState;

/// Messages that wait to be published, and their bytes; further ones are dropped and counted.
const MAX_QUEUED: usize = 65_536;
const MAX_QUEUED_BYTES: usize = 64 << 20;
/// Publishes at a time.
const IN_FLIGHT: usize = 256;
/// Clients, and bytes about them, in one part of a response.
const PART_NAMES: usize = 4_096;
const PART_BYTES: usize = 128 * 1024;

/// The queue of a side.
pub(crate) struct Outgoing {
    queue: mpsc::Sender<Queued>,
    queued: Mutex<Option<mpsc::Receiver<Queued>>>,
    budget: ByteBudget,
}

/// A message with its share of the budget.
struct Queued {
    message: Encoded,
    _permit: BytePermit,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        let (queue, queued) = mpsc::channel(MAX_QUEUED);
        Self {
            queue,
            queued: Mutex::new(Some(queued)),
            budget: ByteBudget::new(MAX_QUEUED_BYTES),
        }
    }
}

impl SideState {
    /// Publishes what is queued; never completes. To be run once.
    pub(crate) async fn publish_responses(&self) {
        static FAILED: LimitedLog = LimitedLog::new();
        let Some(mut queued) = self.outgoing.queued.lock().unpoisoned().take() else {
            return std::future::pending().await;
        };
        let mut in_flight = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(Queued { message, _permit }) = queued.recv(), if in_flight.len() < IN_FLIGHT => {
                    in_flight.push(async move {
                        let published = message.publish.await;
                        drop(_permit);
                        published
                    });
                }
                Some(published) = in_flight.next() => {
                    let Err(error) = published else { continue };
                    count(&self.counters.responses_dropped);
                    if let Some(suppressed) = FAILED.pass() {
                        let (side, error) = (Escaped(&self.name), Escaped(error));
                        quietly(|| tracing::warn!(suppressed, ?side, ?error, "the bridge cannot publish a response"));
                    }
                }
                else => std::future::pending().await,
            }
        }
    }

    /// Queues a message of the bridge itself; one that is too much is dropped and counted.
    pub(crate) fn post(&self, host_id: HostId, message: Message) {
        static DROPPED: LimitedLog = LimitedLog::new();
        let message = self.messenger.encode(Envelope::new(Some(host_id), message));
        let permit = self.outgoing.budget.try_take(message.size);
        let is_queued = permit.is_some_and(|permit| {
            let queued = Queued {
                message,
                _permit: permit,
            };
            self.outgoing.queue.try_send(queued).is_ok()
        });
        if is_queued {
            return;
        }
        self.counters.responses_dropped.fetch_add(1, Ordering::Relaxed);
        if let Some(suppressed) = DROPPED.pass() {
            let side = Escaped(&self.name);
            quietly(|| tracing::warn!(suppressed, ?side, "the bridge dropped a response: too many wait"));
        }
    }

    /// Responds to a request of a process of this side.
    pub(crate) fn respond(&self, to: &HostId, id: u64, parts: Vec<ResponsePart>, is_truncated: bool) {
        let last = parts.len().saturating_sub(1);
        for (number, part) in parts.into_iter().enumerate() {
            let response = ClusterResponse {
                to: to.clone(),
                id,
                part,
                number: u32::try_from(number).unwrap_or(u32::MAX),
                is_last: number == last,
                is_truncated,
            };
            self.post(self.host_id.clone(), Message::Response(response));
        }
    }

    /// Tells that clients have left before they acknowledged.
    pub(crate) fn report_left(&self, to: &HostId, id: u64, clients: Vec<Sid>) {
        let response = ClusterResponse {
            to: to.clone(),
            id,
            part: ResponsePart::Left(clients),
            number: 0,
            is_last: false,
            is_truncated: false,
        };
        self.post(self.host_id.clone(), Message::Response(response));
    }
}

/// Splits a list of clients into parts; at least one, which may be empty.
pub(crate) fn sockets(sockets: Vec<SocketInfo>) -> Vec<ResponsePart> {
    let parts = in_parts(sockets, |socket| (1 + socket.rooms.len(), socket.size()));
    parts.into_iter().map(ResponsePart::Sockets).collect()
}

/// Splits a list of rooms into parts; at least one, which may be empty.
pub(crate) fn rooms(rooms: Vec<RoomInfo>) -> Vec<ResponsePart> {
    let parts = in_parts(rooms, |room| (1, room.size()));
    parts.into_iter().map(ResponsePart::Rooms).collect()
}

/// Splits the recipients of an event into parts; at least one, which may be empty. Those without names are counted in a
/// further part.
pub(crate) fn recipients(names: Vec<Sid>, num_unnamed: u64) -> Vec<ResponsePart> {
    let parts = in_parts(names, |sid| (1, sid.as_str().len() + 3));
    let parts = parts.into_iter().map(ResponsePart::Recipients);
    let unnamed = (num_unnamed > 0).then_some(ResponsePart::Count(num_unnamed));
    parts.chain(unnamed).collect()
}

/// Splits a list; `size` returns the names and bytes of an item.
fn in_parts<T>(items: Vec<T>, size: impl Fn(&T) -> (usize, usize)) -> Vec<Vec<T>> {
    let (mut parts, mut part) = (Vec::new(), Vec::new());
    let (mut names, mut bytes) = (0, 0);
    for item in items {
        let (item_names, item_bytes) = size(&item);
        let is_full = names + item_names > PART_NAMES || bytes + item_bytes > PART_BYTES;
        if is_full && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            (names, bytes) = (0, 0);
        }
        names += item_names;
        bytes += item_bytes;
        part.push(item);
    }
    if parts.is_empty() || !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_has_parts_of_bounded_size_and_at_least_one() {
        let names: Vec<_> = (0..10_000)
            .map(|number| Sid::from(format!("client-{number}")))
            .collect();
        let parts = recipients(names.clone(), 7);
        let mut found = Vec::new();
        for part in &parts[..parts.len() - 1] {
            let ResponsePart::Recipients(some) = part else {
                panic!("{part:?}")
            };
            assert!(some.len() <= PART_NAMES);
            found.extend(some.clone());
        }
        assert_eq!((found, parts.last()), (names, Some(&ResponsePart::Count(7))));
        assert_eq!(recipients(Vec::new(), 0), [ResponsePart::Recipients(Vec::new())]);
        assert_eq!(sockets(Vec::new()), [ResponsePart::Sockets(Vec::new())]);
        assert_eq!(rooms(Vec::new()), [ResponsePart::Rooms(Vec::new())]);
    }
}
