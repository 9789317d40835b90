//! The requests of other servers that this one has not responded to yet.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use manager_api::cluster::SocketInfo;
use manager_api::lock::Unpoisoned;
use manager_api::{NamespaceName, deadline};
use tokio::time::Instant;

/// The longest that one is kept.
const MAX_TIME: Duration = Duration::from_secs(600);

/// A request of another server.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) namespace: NamespaceName,
    /// The id of the server that sent it.
    pub(crate) uid: String,
    /// The id that the response has to carry.
    pub(crate) request_id: String,
    pub(crate) wanted: Wanted,
    expires: Instant,
}

/// What the response holds.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// The number of recipients of an event, then each acknowledgement.
    Acks {
        /// Recipients that were reported so far.
        count: u64,
    },
    /// Clients, with those that were reported so far.
    Sockets(Vec<SocketInfo>),
    /// The ids of clients alone.
    Sids(Vec<SocketInfo>),
    /// The names of all rooms.
    Rooms(Vec<SocketInfo>),
    /// The output of the handler of an event.
    Output,
}

/// The table of these requests, by numbers of ours.
#[derive(Debug)]
pub(crate) struct PendingRequests {
    table: Mutex<Table>,
    /// Requests that are kept; further ones are not responded to.
    max: usize,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Pending>,
    /// The requests received since two subscriptions overlap, by sender and id: each may arrive twice.
    received: Option<HashSet<(String, String)>>,
    /// When expired requests were last removed.
    swept: Option<Instant>,
}

/// The outcome of adding a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It has this number.
    New(u64),
    /// It was received before.
    Repeated,
    /// There are too many.
    Full,
}

impl PendingRequests {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            table: Mutex::default(),
            max,
        }
    }

    /// Recognises repeated requests from now on.
    pub(crate) fn expect_repeats(&self) {
        let mut table = self.lock();
        let open = table.open.values();
        let received = open
            .map(|pending| (pending.uid.clone(), pending.request_id.clone()))
            .collect();
        table.received.get_or_insert(received);
    }

    /// Adds a request.
    pub(crate) fn add(
        &self,
        namespace: NamespaceName,
        uid: &str,
        request_id: &str,
        wanted: Wanted,
        time: Duration,
    ) -> Added {
        let mut table = self.lock();
        table.sweep();
        if table.open.len() >= self.max {
            return Added::Full;
        }
        if let Some(received) = table.received.as_mut().filter(|received| received.len() < self.max)
            && !received.insert((uid.to_owned(), request_id.to_owned()))
        {
            return Added::Repeated;
        }
        table.next += 1;
        let id = table.next;
        let pending = Pending {
            namespace,
            uid: uid.to_owned(),
            request_id: request_id.to_owned(),
            wanted,
            expires: deadline::after(time.min(MAX_TIME)),
        };
        table.open.insert(id, pending);
        Added::New(id)
    }

    /// Changes a request, or reads it; `None` if it is not there any more.
    pub(crate) fn with<T>(&self, id: u64, change: impl FnOnce(&mut Pending) -> T) -> Option<T> {
        self.lock().open.get_mut(&id).map(change)
    }

    /// Removes a request that gets no further response.
    pub(crate) fn remove(&self, id: u64) -> Option<Pending> {
        self.lock().open.remove(&id)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unpoisoned()
    }
}

impl Table {
    /// Removes the expired requests, once a second at most.
    fn sweep(&mut self) {
        let now = Instant::now();
        if self.swept.is_some_and(|swept| now < swept + Duration::from_secs(1)) {
            return;
        }
        self.swept = Some(now);
        self.open.retain(|_, pending| pending.expires > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1_000;

    fn add(requests: &PendingRequests, seconds: u64) -> Option<u64> {
        let time = Duration::from_secs(seconds);
        match requests.add(NamespaceName::root(), "aa", "r", Wanted::Output, time) {
            Added::New(id) => Some(id),
            Added::Repeated | Added::Full => None,
        }
    }

    #[tokio::test]
    async fn a_request_that_two_subscriptions_receive_counts_once() {
        let requests = PendingRequests::new(MAX);
        let add = |uid| requests.add(NamespaceName::root(), uid, "r", Wanted::Output, MAX_TIME);
        assert_eq!((add("aa"), add("bb")), (Added::New(1), Added::New(2)));
        requests.remove(2);
        requests.expect_repeats();
        assert_eq!(
            (add("aa"), add("cc"), add("cc")),
            (Added::Repeated, Added::New(3), Added::Repeated)
        );
        requests.remove(3);
        assert_eq!(add("cc"), Added::Repeated);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_response_is_forgotten_when_its_time_is_over() {
        let requests = PendingRequests::new(MAX);
        let (short, long) = (add(&requests, 5).unwrap(), add(&requests, 60).unwrap());
        tokio::time::advance(Duration::from_secs(6)).await;
        let last = add(&requests, u64::MAX).unwrap();
        assert!(requests.remove(short).is_none());
        assert_eq!(requests.with(long, |pending| pending.request_id.clone()).unwrap(), "r");
        tokio::time::advance(MAX_TIME + Duration::from_secs(1)).await;
        add(&requests, 1).unwrap();
        assert!(requests.remove(last).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_requests_takes_bounded_memory() {
        let requests = PendingRequests::new(MAX);
        for _ in 0..MAX {
            assert!(add(&requests, 5).is_some());
        }
        assert!(add(&requests, 5).is_none());
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(add(&requests, 5).is_some());
    }
}
