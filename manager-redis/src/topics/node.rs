//! The connection to one node of a Redis Cluster: opened when messages wait for it, replaced by way of the router.
//!
//! A node that is lost is not connected to again by itself: its slots may have gone to a replica. Its messages go back to
//! the main connection's node, which knows the owner.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use manager_api::backend::url::Address;
use manager_api::backend::{Failure as _, Job};
use tokio::time::{Duration, Sleep, sleep};

use super::routing::Routing;
use crate::connection::{Connection, Purpose};
use crate::error::Failure;
use crate::pipeline::Pipeline;
use crate::publish::Queue;

/// The pause after a node could not be reached, until another one is asked which node has its slots now.
const PAUSE: Duration = Duration::from_millis(250);

/// An attempt to connect.
type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Connection, Failure>> + Send + 'a>>;

/// One node, and the messages for it.
pub(super) struct Node<'a> {
    pub(super) address: Address,
    queue: &'a Queue,
    state: State<'a>,
    /// Messages that wait for a connection.
    early: Routing,
}

/// The connection of a node.
enum State<'a> {
    /// The first state; it ends after the connect timeout.
    Connecting(Connecting<'a>),
    /// Messages are sent.
    Up(Box<Pipeline<'a>>),
    /// It could not be reached. Messages wait for the end of the pause.
    Failed(Pin<Box<Sleep>>),
}

/// What became of a node.
pub(super) enum NodeEvent {
    /// It is in use.
    Pending,
    /// It was lost; its messages are to be taken.
    Over,
}

impl<'a> Node<'a> {
    /// Creates a node that connects as soon as it is polled.
    pub(super) fn new(queue: &'a Queue, address: Address) -> Self {
        let connector = &queue.link.connector;
        let node = address.clone();
        let connecting = async move { connector.connect_to(&node, Purpose::Publishing).await };
        Self {
            address,
            queue,
            state: State::Connecting(Box::pin(connecting)),
            early: Routing::default(),
        }
    }

    /// Connects, sends and receives as much as possible.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> NodeEvent {
        loop {
            let outcome = match &mut self.state {
                State::Connecting(connecting) => match connecting.as_mut().poll(cx) {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending => return NodeEvent::Pending,
                },
                State::Up(pipeline) => match pipeline.poll(cx) {
                    Poll::Ready(Err(failure)) => {
                        self.queue.status.lost(&*failure);
                        let unsent = pipeline.abandon(&failure);
                        self.early.waiting.extend(unsent.into_iter().map(Into::into));
                        return NodeEvent::Over;
                    }
                    _ => return NodeEvent::Pending,
                },
                State::Failed(pause) => match pause.as_mut().poll(cx) {
                    Poll::Ready(()) => return NodeEvent::Over,
                    Poll::Pending => return NodeEvent::Pending,
                },
            };
            match outcome {
                Ok(connection) => {
                    self.queue.set_trouble(None);
                    let mut pipeline = Pipeline::new(self.queue, connection, false);
                    pipeline.routing = std::mem::take(&mut self.early);
                    self.state = State::Up(Box::new(pipeline));
                }
                Err(failure) => self.failed(failure),
            }
        }
    }

    /// Records that the node could not be reached; a refusal fails its messages.
    fn failed(&mut self, failure: Failure) {
        let failure = Arc::new(failure);
        self.queue.status.lost(&*failure);
        self.queue.set_trouble(Some(failure.clone()));
        if failure.is_refused() {
            for job in self.early.take_all() {
                self.queue.fail(job, failure.unreachable(self.queue.deadline()));
            }
        }
        self.state = State::Failed(Box::pin(sleep(PAUSE)));
    }

    /// Returns the messages that it has yet to send.
    pub(super) fn routing(&mut self) -> &mut Routing {
        match &mut self.state {
            State::Up(pipeline) => &mut pipeline.routing,
            _ => &mut self.early,
        }
    }

    /// Returns whether no message depends on it.
    pub(super) fn is_idle(&self) -> bool {
        match &self.state {
            State::Up(pipeline) => pipeline.is_idle() && pipeline.routing.is_empty(),
            _ => self.early.is_empty(),
        }
    }

    /// Fails the messages that were sent and returns the others.
    pub(super) fn abandon(&mut self, failure: &Arc<Failure>) -> Vec<Job> {
        let mut unsent = match &mut self.state {
            State::Up(pipeline) => pipeline.abandon(failure),
            _ => Vec::new(),
        };
        unsent.extend(self.take_unsent());
        unsent
    }

    /// Returns the messages that were not sent, once it is over.
    pub(super) fn take_unsent(&mut self) -> Vec<Job> {
        self.early.take_all()
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
