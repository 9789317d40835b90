//! The publishing link: one connection, messages in batches.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use manager_api::Error;
use manager_api::backend::{PublishLink, PublishQueue};

use crate::config::PostgresOptions;
use crate::connect::Connector;
use crate::error::{Failure, timed_out};
use crate::pipeline::Pipeline;
use crate::refusal::Asked;
use crate::session::{Events, Session};

/// The publisher of a manager over PostgreSQL.
pub(crate) type Publisher = manager_api::backend::Publisher<PostgresLink>;
/// Its queue.
pub(crate) type Queue = PublishQueue<PostgresLink>;

/// What a publisher sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// Messages of the channel, which are rows of the log.
    Log,
    /// Messages of topics, which are notifications.
    Notices,
}

/// The publishing link to PostgreSQL: one connection, which may lead through a pooler.
#[derive(Debug)]
pub(crate) struct PostgresLink {
    /// Those of the manager.
    pub(crate) options: PostgresOptions,
    /// That of the manager.
    pub(crate) connector: Arc<Connector>,
    /// What is sent over it.
    pub(crate) carries: Carries,
}

impl PublishLink for PostgresLink {
    type Failure = Failure;
    type Connection = Session;

    async fn connect(&self) -> Result<Session, Failure> {
        let asked = match self.carries {
            Carries::Log => Asked::Publish,
            Carries::Notices => Asked::Notify,
        };
        self.connector.connect(asked, Events::new(|_| false)).await
    }

    /// Drives a pipeline on the connection; its jobs fail with the connection, since the server
    /// may have committed them.
    async fn run(queue: &Queue, session: Session) -> Result<(), Arc<Failure>> {
        let mut pipeline = Pipeline::new(queue, &session);
        let outcome = poll_fn(|cx| pipeline.poll(cx)).await;
        if let Err(failure) = &outcome {
            queue.lost(failure);
            pipeline.abandon(failure);
        }
        outcome
    }

    fn place(&self) -> String {
        format!("PostgreSQL at {}", self.connector.label())
    }

    fn timed_out(&self, deadline: Duration) -> Error {
        timed_out(self.connector.label(), deadline)
    }
}
