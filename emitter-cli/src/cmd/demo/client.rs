//! The client of the demo, in the namespace `/`.

use std::net::SocketAddr;

use manager_api::{NamespaceName, Payload};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::client::{self, Arrived, Opened, Target};
use crate::failure::Failure;

/// The id of the event that waits for its acknowledgement.
const ID: u64 = 0;

pub(super) struct Client(client::Client);

impl Client {
    /// Connects to the namespace `/`.
    pub(super) async fn connect(addr: SocketAddr) -> Result<Self, Failure> {
        let target = Target::parse(&format!("http://{addr}"), "/socket.io/", None, &[])?;
        match client::Client::connect(&target, &NamespaceName::default(), None).await? {
            Opened::Accepted(client) => Ok(Self(*client)),
            Opened::Refused(said) => Err(Failure::broker(format!("the server refused the client: {said}"))),
        }
    }

    /// Emits an event with one argument and returns the first argument of its acknowledgement.
    pub(super) async fn call(&mut self, event: &str, argument: &str) -> Result<Value, Failure> {
        let payload = Payload::builder().text(argument).build();
        self.0.emit(event, &payload, Some(ID)).await?;
        loop {
            if let Arrived::Ack(content, ID) = self.next().await? {
                return Ok(value(content.values.front().map(|value| &**value)));
            }
        }
    }

    /// Waits for an event of this name and returns its first argument.
    pub(super) async fn event(&mut self, wanted: &str) -> Result<Value, Failure> {
        loop {
            match self.next().await? {
                Arrived::Event(content, _) if value(content.values.front().map(|value| &**value)) == wanted => {
                    return Ok(value(content.values.get(1).map(|value| &**value)));
                }
                _ => {}
            }
        }
    }

    /// Answers heartbeats, until the connection is lost.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost but events that are not waited for.
    pub(super) async fn idle(&mut self) -> Failure {
        loop {
            if let Err(failure) = self.next().await {
                return failure;
            }
        }
    }

    async fn next(&mut self) -> Result<Arrived, Failure> {
        match self.0.next().await? {
            Arrived::Disconnected => Err(Failure::broker("the server disconnected the client")),
            arrived => Ok(arrived),
        }
    }
}

fn value(json: Option<&RawValue>) -> Value {
    json.and_then(|json| serde_json::from_str(json.get()).ok())
        .unwrap_or_default()
}
