//! The publishing link: one channel with confirms.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use lapin::Channel;
use manager_api::backend::{Failure as _, PublishLink, PublishQueue};
use manager_api::log::{LimitedLog, quietly};
use manager_api::{Error, HostId};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::connect::{Connector, Link};
use crate::error::{Failure, timed_out};
use crate::pipeline::Pipeline;

pub(crate) type Publisher = manager_api::backend::Publisher<AmqpLink>;
pub(crate) type Queue = PublishQueue<AmqpLink>;

/// The limit for closing the channel, and for closing the connection.
const LEAVE: Duration = Duration::from_secs(1);

/// The publishing link to RabbitMQ: one channel with publisher confirms, on a connection of its own.
#[derive(Debug)]
pub(crate) struct AmqpLink {
    pub(crate) connector: Arc<Connector>,
    pub(crate) host_id: HostId,
    pub(crate) max_unconfirmed: usize,
    /// Rises when there is reason to doubt that queues are bound to the exchange.
    pub(crate) doubts: watch::Sender<u64>,
    pub(crate) unheard_log: LimitedLog,
}

impl AmqpLink {
    /// Notes that the broker had no queue for a message: there are no listeners, or they have lost their bindings.
    pub(crate) fn unheard(&self) {
        self.doubt();
        if let Some(suppressed) = self.unheard_log.pass() {
            let (place, exchange) = (self.place(), self.connector.exchange());
            let text = "accepted a message that nothing receives: no queue is bound to the exchange";
            quietly(|| tracing::info!(target: "manager_amqp", suppressed, "{place} {text} {exchange:?}"));
        }
    }

    /// Draws conclusions from the end of a connection: about the exchange, and about waiting messages.
    fn conclude_from(&self, failure: &Arc<Failure>, queue: &Queue) {
        if failure.is_not_found() {
            // The exchange was deleted. It will be declared again, and has no bindings then.
            self.doubt();
        }
        if failure.is_refused() {
            while let Some(job) = queue.next_job() {
                queue.fail(job, failure.unreachable(queue.deadline()));
            }
        }
    }

    /// Makes listeners prove that their queues are bound.
    fn doubt(&self) {
        self.doubts.send_modify(|number| *number += 1);
    }
}

impl PublishLink for AmqpLink {
    type Failure = Failure;
    type Connection = (Link, Channel);

    async fn connect(&self) -> Result<(Link, Channel), Failure> {
        self.connector.open_publishing().await
    }

    async fn run(queue: &Queue, (link, channel): (Link, Channel)) -> Result<(), Arc<Failure>> {
        let outcome = {
            let mut pipeline = Pipeline::new(queue, &link, channel.clone());
            let outcome = poll_fn(|cx| pipeline.poll(cx)).await;
            if let Err(failure) = &outcome {
                queue.lost(failure);
                pipeline.abandon(failure);
                queue.link.conclude_from(failure, queue);
            }
            outcome
        };
        if outcome.is_ok() {
            // The channel first: the client library would close it after the connection.
            let _ = timeout(LEAVE, channel.close(200, "bye".into())).await;
            link.close(LEAVE).await;
        }
        outcome
    }

    fn place(&self) -> String {
        format!("RabbitMQ at {}", self.connector.label())
    }

    fn timed_out(&self, deadline: Duration) -> Error {
        timed_out(self.connector.label(), deadline)
    }
}
