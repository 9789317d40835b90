//! A connection to the node of a stream, opened when it is needed.

use std::sync::Arc;
use std::time::Duration;

use manager_api::backend::seconds;
use manager_api::backend::url::Address;
use redis::{Cmd, Value, cmd};
use tokio::time::timeout;

use super::Shared;
use crate::connection::{Connection, Purpose};
use crate::error::Failure;
use crate::refusal::Asked;
use crate::topics::redirection::{MAX_REDIRECTIONS, Redirection};

/// The longest reply that is read as a whole, in bytes.
const MAX_REPLY_LEN: usize = 1 << 20;

/// A connection, and the node that a Redis Cluster named for its stream.
pub(super) struct Link {
    shared: Arc<Shared>,
    connection: Option<Connection>,
    node: Option<Address>,
}

impl Link {
    /// Creates a link without a connection.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            connection: None,
            node: None,
        }
    }

    /// Drops the connection.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Takes the connection, or opens one.
    pub(super) async fn take(&mut self) -> Result<Connection, Failure> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let connector = &self.shared.connector;
        let opened = match &self.node {
            None => connector.connect(Purpose::Publishing).await,
            Some(node) => connector.connect_to(node, Purpose::Publishing).await,
        };
        if opened.is_err() {
            // Another node may be asked where the stream is.
            self.node = None;
        }
        let mut connection = opened?;
        let database = connector.database();
        if database != 0 {
            let selected = self.reply(&mut connection, cmd("SELECT").arg(database)).await?;
            selected.map_err(|error| {
                let asked = Asked::Topic {
                    command: "SELECT",
                    name: "",
                };
                Failure::server(&connection.address, asked, error)
            })?;
        }
        Ok(connection)
    }

    /// Sends a command about `name`, follows redirections, and keeps the connection if that works.
    pub(super) async fn request(&mut self, verb: &str, name: &str, command: &Cmd) -> Result<Value, Failure> {
        for _ in 0..=MAX_REDIRECTIONS {
            let mut connection = self.take().await?;
            match self.reply(&mut connection, command).await? {
                Ok(value) => {
                    self.connection = Some(connection);
                    return Ok(value);
                }
                Err(error) => match Redirection::of(&error, &connection.address) {
                    Some(Redirection::Moved { to, .. } | Redirection::Ask { to }) => self.node = Some(to),
                    Some(Redirection::Later) => {
                        return Err(Failure::other(
                            &connection.address,
                            "no node of Redis Cluster serves the stream",
                        ));
                    }
                    None => {
                        let asked = Asked::Topic { command: verb, name };
                        let failure = Failure::server(&connection.address, asked, error);
                        self.connection = Some(connection);
                        return Err(failure);
                    }
                },
            }
        }
        let label = self.shared.connector.label();
        Err(Failure::other(
            label,
            "the nodes of Redis Cluster disagree about the stream",
        ))
    }

    /// Sends a command, and waits for its reply as long as for a connection.
    async fn reply(
        &mut self,
        connection: &mut Connection,
        command: &Cmd,
    ) -> Result<Result<Value, redis::RedisError>, Failure> {
        let limit: Duration = self.shared.options.redis.connect_timeout;
        let address = connection.address.clone();
        let replied = timeout(limit, connection.request_up_to(command, MAX_REPLY_LEN)).await;
        replied.unwrap_or_else(|_| {
            let within = seconds(limit);
            Err(Failure::other(&address, format!("no answer within {within}")))
        })
    }
}
