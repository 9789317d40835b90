//! The router: one connection that publishes, and in a Redis Cluster one to each node to which that one refers.
//!
//! Everything runs in the publishing task, without locks. The router divides the queue only once a reply has referred to
//! another node; until then the main connection takes its messages from the queue itself.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use manager_api::backend::url::Address;
use manager_api::backend::{Failure as _, Job};
use manager_api::deadline;
use tokio::time::{Instant, Sleep, sleep_until};

use super::head::slot_of;
use super::node::{Node, NodeEvent};
use super::routing::Routed;
use crate::connection::Connection;
use crate::error::Failure;
use crate::pipeline::Pipeline;
use crate::publish::Queue;

/// The maximum number of nodes with a connection of their own.
const MAX_NODES: usize = 256;

/// The connections that publish. As long as no reply refers to another node there is one, which takes its messages from the
/// queue itself.
pub(crate) struct Router<'a> {
    queue: &'a Queue,
    /// The connection that the publishing task has opened.
    main: Pipeline<'a>,
    /// The nodes that others have named.
    nodes: Vec<Node<'a>>,
    /// The nodes of slots, as far as they are known; of any other slot the main connection's node is asked.
    slots: HashMap<u16, Address>,
    /// Set while messages wait here.
    timer: Pin<Box<Sleep>>,
}

impl<'a> Router<'a> {
    /// Creates a router on a connection that is ready to publish.
    pub(crate) fn new(queue: &'a Queue, connection: Connection) -> Self {
        Self {
            queue,
            main: Pipeline::new(queue, connection, true),
            nodes: Vec::new(),
            slots: HashMap::new(),
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Sends and receives as much as possible; ready when the main connection is lost, or the queue is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Arc<Failure>>> {
        loop {
            self.distribute();
            if let Poll::Ready(outcome) = self.main.poll(cx) {
                return Poll::Ready(outcome);
            }
            if !self.is_routing() {
                return Poll::Pending;
            }
            self.poll_nodes(cx);
            let has_moved = self.move_messages();
            if !has_moved && !self.has_expired(cx) {
                // A node may have completed the last message.
                return self.over();
            }
        }
    }

    /// Returns whether any other node is known, or any slot is leaving.
    fn is_routing(&self) -> bool {
        !(self.slots.is_empty() && self.nodes.is_empty() && self.main.routing.is_empty())
    }

    /// Returns whether each message was answered, and the manager is closed.
    fn over(&self) -> Poll<Result<(), Arc<Failure>>> {
        match self.main.is_idle() && self.queue.is_over() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    /// Divides the queue among the connections, once there are several.
    fn distribute(&mut self) {
        let is_routing = self.is_routing();
        self.main.takes_queue = !is_routing;
        while is_routing && let Some(job) = self.queue.next_job() {
            self.route(job.into());
        }
    }

    /// Hands a message to the connection of its node.
    fn route(&mut self, routed: Routed) {
        let Some(slot) = slot_of(&routed.job.head) else {
            return self.main.routing.waiting.push_back(routed);
        };
        let node = self.slots.get(&slot);
        let at = node.and_then(|node| self.nodes.iter().position(|other| other.address == *node));
        let routing = match at {
            Some(at) => self.nodes[at].routing(),
            None => &mut self.main.routing,
        };
        if let Some(routed) = routing.held(slot, routed) {
            routing.waiting.push_back(routed);
        }
    }

    /// Uses the connections of nodes. Those that are lost are asked for again at the main connection's node.
    fn poll_nodes(&mut self, cx: &mut Context<'_>) {
        let mut at = 0;
        while at < self.nodes.len() {
            match self.nodes[at].poll(cx) {
                NodeEvent::Pending => at += 1,
                NodeEvent::Over => {
                    let mut node = self.nodes.swap_remove(at);
                    self.slots.retain(|_, address| *address != node.address);
                    for job in in_order(node.take_unsent()) {
                        self.route(job.into());
                    }
                }
            }
        }
    }

    /// Hands redirected messages to their nodes; returns whether there were any.
    fn move_messages(&mut self) -> bool {
        let mut asked = std::mem::take(&mut self.main.routing.asked);
        let mut departed = Vec::new();
        departed.extend(std::iter::from_fn(|| self.main.routing.departed()));
        for node in &mut self.nodes {
            asked.append(&mut node.routing().asked);
            departed.extend(std::iter::from_fn(|| node.routing().departed()));
        }
        let has_moved = !(asked.is_empty() && departed.is_empty());
        for (address, mut routed) in asked {
            routed.is_asking = true;
            if let Some(routing) = self.node(address) {
                routing.routing().waiting.push_back(routed);
            } else {
                self.refuse(routed);
            }
        }
        for departure in departed {
            match &departure.to {
                Some(address) if self.node(address.clone()).is_some() => {
                    self.slots.insert(departure.slot, address.clone());
                }
                _ => {
                    self.slots.remove(&departure.slot);
                }
            }
            departure.into_messages().for_each(|routed| self.route(routed));
        }
        has_moved
    }

    /// Returns the connection of a node, which is opened if there is none; `None` if there are too many.
    fn node(&mut self, address: Address) -> Option<&mut Node<'a>> {
        if let Some(at) = self.nodes.iter().position(|node| node.address == address) {
            return Some(&mut self.nodes[at]);
        }
        if self.nodes.len() >= MAX_NODES {
            let idle = self.nodes.iter().position(Node::is_idle)?;
            let idle = self.nodes.swap_remove(idle);
            self.slots.retain(|_, address| *address != idle.address);
        }
        self.nodes.push(Node::new(self.queue, address));
        self.nodes.last_mut()
    }

    /// Fails a message for a node that is one too many.
    fn refuse(&self, routed: Routed) {
        let failure = Failure::other(
            self.queue.link.connector.label(),
            format!("Redis Cluster refers to more than {MAX_NODES} nodes"),
        );
        let error = Arc::new(failure).unreachable(self.queue.deadline());
        self.queue.fail(routed.job, error);
    }

    /// Fails the waiting messages whose deadlines have passed, and sets the timer; returns whether there were any, or a
    /// pause is over.
    fn has_expired(&mut self, cx: &mut Context<'_>) -> bool {
        let (queue, now) = (self.queue, Instant::now());
        let mut next = None;
        let mut has_expired = false;
        let nodes = self.nodes.iter_mut();
        for routing in nodes.map(|node| node.routing()).chain([&mut self.main.routing]) {
            for list in routing.lists() {
                let num_overdue = list.iter().take_while(|routed| routed.due(queue) <= now).count();
                for routed in list.drain(..num_overdue) {
                    queue.fail(routed.job, queue.overdue());
                    has_expired = true;
                }
                next = earlier(next, list.front().map(|routed| routed.due(queue)));
            }
            let look = routing.next_look();
            next = earlier(next, look.filter(|look| *look > now));
        }
        let Some(next) = next else { return has_expired };
        self.timer.as_mut().reset(next);
        has_expired || self.timer.as_mut().poll(cx).is_ready()
    }

    /// Fails the messages that were sent and puts back the others, once the main connection is lost.
    pub(crate) fn abandon(&mut self, failure: &Arc<Failure>) {
        let mut unsent = self.main.abandon(failure);
        for mut node in self.nodes.drain(..) {
            unsent.extend(node.abandon(failure));
        }
        self.queue.put_back(in_order(unsent).into_iter());
    }
}

impl Drop for Router<'_> {
    fn drop(&mut self) {
        let text = "the manager was closed before the answer";
        self.abandon(&Arc::new(Failure::other(self.main.address(), text)));
    }
}

impl Routed {
    /// Returns when its deadline passes.
    fn due(&self, queue: &Queue) -> Instant {
        deadline::from(self.job.since, queue.deadline())
    }
}

/// Sorts messages from several connections: those of one slot are in order already, and stay so.
fn in_order(mut jobs: Vec<Job>) -> Vec<Job> {
    jobs.sort_by_key(|job| job.since);
    jobs
}

/// Returns the earlier of two times.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
