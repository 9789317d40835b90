//! How messages get to RabbitMQ.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use lapin::Channel;
use manager_api::backend::{Line, PublishQueue};
use manager_api::{Error, HostId};

use crate::connect::{Connector, Link};
use crate::error::{Failure, timed_out};
use crate::pipeline::Pipeline;

pub(crate) type Publisher = manager_api::backend::Publisher<AmqpLine>;
pub(crate) type Queue = PublishQueue<AmqpLine>;

/// How long taking leave of the broker may take.
const LEAVE: Duration = Duration::from_secs(1);

/// One channel with publisher confirms, on a connection of its own.
#[derive(Debug)]
pub(crate) struct AmqpLine {
    pub(crate) connector: Arc<Connector>,
    pub(crate) host_id: HostId,
    pub(crate) max_unconfirmed: usize,
}

impl Line for AmqpLine {
    type Failure = Failure;
    type Connection = (Link, Channel);

    async fn connect(&self) -> Result<(Link, Channel), Failure> {
        self.connector.open_publishing().await
    }

    async fn run(queue: &Queue, (link, channel): (Link, Channel)) -> Result<(), Arc<Failure>> {
        let outcome = {
            let mut pipeline = Pipeline::new(queue, &link, channel);
            let outcome = poll_fn(|cx| pipeline.poll(cx)).await;
            if let Err(failure) = &outcome {
                queue.lost(failure);
                pipeline.abandon(failure);
            }
            outcome
        };
        if outcome.is_ok() {
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
