//! Members of rooms: clients that count the broadcasts they receive.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{AT_ONCE, Setup};
use crate::latency::{Latency, since_boot, stamp_of};
use crate::load::{Client, Crowd, connect_many};

/// The deliveries to the members of all rooms together.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) count: Cell<u64>,
    pub(super) latency: RefCell<Latency>,
    /// The stamp of the first message, and when the last one came.
    pub(super) first_sent: Cell<Option<Duration>>,
    pub(super) last_came: Cell<Duration>,
    /// Deliveries whose stamp was not above the one before, of the same member.
    pub(super) num_out_of_order: Cell<u64>,
    awaited: Cell<u64>,
    arrived: Notify,
}

impl Received {
    /// Waits for `total` deliveries; false if none arrives for as long as `patience`.
    pub(super) async fn reaches(&self, total: u64, patience: Duration) -> bool {
        self.awaited.set(total);
        while self.count.get() < total {
            let before = self.count.get();
            if timeout(patience, self.arrived.notified()).await.is_err() && self.count.get() == before {
                return false;
            }
        }
        true
    }

    fn add(&self, count: u64, now: Duration) {
        self.last_came.set(now);
        self.count.set(self.count.get() + count);
        if self.count.get() >= self.awaited.get() {
            self.arrived.notify_one();
        }
    }
}

/// Connects `clients` clients, spread evenly over `rooms` rooms named `r`, `r1`, `r2` …
pub(super) async fn fill(setup: &Setup, clients: usize, rooms: usize) -> Result<(Crowd, Rc<Received>)> {
    let mut members = connect_many(&setup.target, clients, AT_ONCE).await?.0;
    for (index, member) in members.iter_mut().enumerate() {
        member
            .call(&format!("[\"join\",\"{}\"]", room(index % rooms.max(1))))
            .await?;
    }
    let received = Rc::new(Received::default());
    let mut crowd = Crowd::default();
    for member in members {
        crowd.add(listen(member, received.clone()));
    }
    Ok((crowd, received))
}

/// Names the room of that number.
pub(super) fn room(number: usize) -> String {
    match number {
        0 => "r".to_owned(),
        number => format!("r{number}"),
    }
}

async fn listen(mut member: Client, received: Rc<Received>) -> Result<Infallible> {
    let mut newest = Duration::ZERO;
    loop {
        let mut now = None;
        let mut count = 0;
        let outcome = member
            .receive(|packet| {
                let Some(sent) = stamp_of(packet) else { return };
                // One reading of the clock for all that came with one read.
                let now = *now.get_or_insert_with(since_boot);
                count += 1;
                if sent <= newest {
                    received.num_out_of_order.set(received.num_out_of_order.get() + 1);
                }
                newest = newest.max(sent);
                received.latency.borrow_mut().record(now.saturating_sub(sent));
                let first = received.first_sent.get().map_or(sent, |first| first.min(sent));
                received.first_sent.set(Some(first));
            })
            .await;
        if let Some(now) = now {
            received.add(count, now);
        }
        outcome?;
    }
}
