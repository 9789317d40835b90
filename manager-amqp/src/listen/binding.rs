//! The binding of a queue: when it is proven, and the conclusions. The proof itself is in `proof.rs`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions};
use lapin::types::FieldTable;
use lapin::{Channel, ExchangeKind};
use manager_api::Backoff;
use manager_api::backend::{self, Status};
use manager_api::lock::Unpoisoned;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::proof::{Mark, Prober, Sent};
use crate::connect::Connector;
use crate::error::{During, Failure, Step, Thing, Trouble};

/// The number of intervals without its fence after which a proof is repeated: the broker may still deliver to
/// an earlier connection, or an operator may have purged the queue.
const PATIENCE: u32 = 3;

/// The dependencies of a proof, which runs concurrently with reading.
#[derive(Clone, Debug)]
pub(super) struct Means {
    pub(super) connector: Arc<Connector>,
    pub(super) prober: Arc<Prober>,
    pub(super) status: Arc<Status>,
    pub(super) backoff: Backoff,
}

/// The proofs of one queue.
#[derive(Debug)]
pub(super) struct Binding {
    means: Means,
    interval: Duration,
    /// The number of the latest proof, and when it began.
    number: u64,
    since: Instant,
    /// The latest probe and the latest fence of this queue that arrived.
    probed: u64,
    resolved: u64,
    /// Proofs that ended with binding the queue again. Their fences must arrive.
    rebound: Arc<Mutex<Vec<u64>>>,
    /// The reason of a gap that is to be reported once the queue is bound.
    owed: Option<&'static str>,
    task: Option<Task>,
}

/// A proof in progress; dropping it ends the proof.
#[derive(Debug)]
struct Task(JoinHandle<Result<(), Failure>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Binding {
    /// Creates the state of a queue that is bound, and proven again after each `interval`.
    pub(super) fn new(means: Means, interval: Duration) -> Self {
        Self {
            means,
            interval,
            number: 0,
            since: Instant::now(),
            probed: 0,
            resolved: 0,
            rebound: Arc::default(),
            owed: None,
            task: None,
        }
    }

    /// Returns the time without a message after which the binding is to be proven. It varies, so that one of
    /// many listeners is first and its probe serves the others.
    pub(super) fn patience(&self) -> Duration {
        match self.interval {
            Duration::ZERO => Duration::MAX,
            interval => interval.saturating_add((interval / 2).mul_f64(fastrand::f64())),
        }
    }

    /// Begins a proof unless one is in progress, on a connection that consumes by `channel`. With `is_doubtful`, a
    /// missing right to prove the binding counts as its absence.
    pub(super) fn begin(&mut self, queue: &str, channel: &Channel, is_doubtful: bool) {
        if self.is_under_way() && !is_doubtful {
            return;
        }
        self.number += 1;
        self.since = Instant::now();
        let proof = Proof {
            means: self.means.clone(),
            queue: queue.to_owned(),
            channel: channel.clone(),
            number: self.number,
            rebound: self.rebound.clone(),
            is_doubtful,
        };
        self.task = Some(Task(tokio::spawn(proof.run())));
    }

    /// Returns whether a proof is in progress: its task runs, or its fence may still arrive.
    fn is_under_way(&self) -> bool {
        let Some(Task(task)) = &self.task else { return false };
        if !task.is_finished() {
            return true;
        }
        self.resolved < self.number && self.since.elapsed() < self.interval.saturating_mul(PATIENCE)
    }

    /// Records a probe or a fence.
    pub(super) fn note(&mut self, mark: Mark) {
        match mark {
            Mark::Foreign => {}
            Mark::Probe(number) => self.probed = self.probed.max(number),
            // A redelivered one.
            Mark::Fence(number) if number <= self.resolved => {}
            Mark::Fence(number) => self.resolve(number),
        }
    }

    /// Concludes from a fence that arrived.
    fn resolve(&mut self, number: u64) {
        let mut rebound = self.rebound.lock().unpoisoned();
        let is_one_lost = rebound.iter().any(|other| (self.resolved + 1..number).contains(other));
        rebound.retain(|other| *other > number);
        drop(rebound);
        self.resolved = number;
        if self.probed != number {
            self.owed = Some("the queue was not bound to the exchange any more");
        } else if is_one_lost {
            self.owed = Some("the queue was emptied");
        }
    }

    /// Returns whether a gap is to be reported, before anything further is read.
    pub(super) fn is_owed(&self) -> bool {
        self.owed.is_some()
    }

    /// Waits until the queue is bound; returns the reason of the gap to report.
    pub(super) async fn settle(&mut self) -> Result<Option<&'static str>, Failure> {
        if let Some(Task(task)) = &mut self.task {
            let bound = task.await;
            self.task = None;
            // It never panics, and is aborted only here.
            bound.unwrap_or(Ok(()))?;
        }
        Ok(self.owed.take())
    }

    /// Ends the proof in progress, whose connection was lost.
    pub(super) async fn halt(&mut self) {
        if let Some(mut task) = self.task.take() {
            task.0.abort();
            let _ = (&mut task.0).await;
        }
    }

    /// Starts over, with another queue.
    pub(super) fn reset(&mut self) {
        self.task = None;
        self.owed = None;
        self.resolved = self.number;
    }
}

/// One proof: a probe, a fence, and binding the queue again regardless of the outcome.
struct Proof {
    means: Means,
    queue: String,
    channel: Channel,
    number: u64,
    rebound: Arc<Mutex<Vec<u64>>>,
    is_doubtful: bool,
}

impl Proof {
    /// Sends the probe and the fence, with back-off, and then binds the queue again.
    async fn run(self) -> Result<(), Failure> {
        let connector = &self.means.connector;
        let mut backoff = self.means.backoff.clone();
        while let Err(failure) = self.send().await {
            self.means.status.lost(&failure);
            sleep(backoff.next_delay()).await;
        }
        self.note_rebound();
        let bound = async {
            connector.declare_exchange(&self.channel).await?;
            bind(&self.channel, &self.queue, connector.exchange()).await
        };
        connector.within_timeout(bound).await
    }

    /// Records that the queue is about to be bound again.
    fn note_rebound(&self) {
        let mut rebound = self.rebound.lock().unpoisoned();
        rebound.push(self.number);
    }

    /// Sends the probe and the fence once, and restores the queue's own exchange if it is gone.
    async fn send(&self) -> Result<(), Failure> {
        let Means { prober, connector, .. } = &self.means;
        match prober.probe(&self.queue, self.number).await {
            Ok(Sent::Yes | Sent::NoExchange) => {}
            Err(failure) if self.is_doubtful && backend::Failure::is_refused(&failure) => {
                self.means.status.lost(&failure);
            }
            Err(failure) => return Err(failure),
        }
        if prober.fence(&self.queue, self.number).await? {
            return Ok(());
        }
        let routed = route_fence(&self.channel, &self.queue);
        connector.within_timeout(routed).await?;
        match prober.fence(&self.queue, self.number).await? {
            true => Ok(()),
            false => Err(Failure::other(connector.label(), "the queue is gone")),
        }
    }
}

/// Declares the exchange that leads to the queue only, and is deleted with it.
pub(super) async fn route_fence(channel: &Channel, queue: &str) -> Result<(), Trouble> {
    let options = ExchangeDeclareOptions {
        auto_delete: true,
        ..ExchangeDeclareOptions::default()
    };
    let declared = channel.exchange_declare(queue.into(), ExchangeKind::Fanout, options, FieldTable::default());
    declared
        .await
        .during(|| Step::Declare(Thing::Exchange(queue.to_owned())))?;
    bind(channel, queue, queue).await
}

/// Binds the queue to an exchange; does nothing if it is bound.
pub(super) async fn bind(channel: &Channel, queue: &str, exchange: &str) -> Result<(), Trouble> {
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    let bound = channel.queue_bind(queue.into(), exchange.into(), "".into(), options, arguments);
    bound.await.during(|| Step::Bind {
        queue: queue.to_owned(),
        exchange: exchange.to_owned(),
    })
}
