//! The publishing link: one pipelined connection, and further ones to the nodes of a Redis Cluster for topics.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use manager_api::Error;
use manager_api::backend::{PublishLink, PublishQueue};

use crate::config::RedisOptions;
use crate::connect::Connector;
use crate::connection::{Connection, Purpose};
use crate::error::{Failure, timed_out};
use crate::topics::router::Router;

pub(crate) type Publisher = manager_api::backend::Publisher<RedisLink>;
pub(crate) type Queue = PublishQueue<RedisLink>;

/// The publishing link to Redis: one pipelined connection, and those to which it refers.
#[derive(Debug)]
pub(crate) struct RedisLink {
    pub(crate) options: RedisOptions,
    pub(crate) connector: Arc<Connector>,
}

impl PublishLink for RedisLink {
    type Failure = Failure;
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection, Failure> {
        self.connector.connect(Purpose::Publishing).await
    }

    async fn run(queue: &Queue, connection: Connection) -> Result<(), Arc<Failure>> {
        let mut router = Router::new(queue, connection);
        let outcome = poll_fn(|cx| router.poll(cx)).await;
        if let Err(failure) = &outcome {
            queue.lost(failure);
            router.abandon(failure);
        }
        outcome
    }

    fn place(&self) -> String {
        format!("Redis at {}", self.connector.label())
    }

    fn timed_out(&self, deadline: Duration) -> Error {
        timed_out(self.connector.label(), deadline)
    }
}
