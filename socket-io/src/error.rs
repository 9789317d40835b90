//! The reasons why a client is refused, and why it is gone.

use std::fmt;

use engine_io::CloseReason;
use manager_api::log::{Escaped, quietly};
use serde::Serialize;

/// Refuses a client that wants to connect to a namespace; the client sees it as its `connect_error`.
///
/// ```
/// # use socket_io::Refusal;
/// let refusal = Refusal::new("not authorized").with_data(&serde_json::json!({"retry": false}));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    message: String,
    /// JSON text.
    data: Option<String>,
}

impl Refusal {
    /// Refuses with a message for the client.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            data: None,
        }
    }

    /// Adds data for the client. What cannot be written as JSON is left out, and logged.
    #[must_use]
    pub fn with_data<T: Serialize + ?Sized>(mut self, data: &T) -> Self {
        match serde_json::to_string(data) {
            Ok(json) => self.data = Some(json),
            Err(error) => quietly(
                || tracing::error!(target: "socket_io", error = ?Escaped(error), "the data of a refusal cannot be written as JSON"),
            ),
        }
        self
    }

    /// The object that travels: `{"message":…,"data":…}`, as Node writes it.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut json = b"{\"message\":".to_vec();
        serde_json::to_writer(&mut json, &self.message).expect("a string is JSON");
        if let Some(data) = &self.data {
            json.extend_from_slice(b",\"data\":");
            json.extend_from_slice(data.as_bytes());
        }
        json.push(b'}');
        json
    }
}

impl Default for Refusal {
    /// The refusal of a handler that says nothing but no.
    fn default() -> Self {
        Self::new("Connection rejected by server")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl From<&str> for Refusal {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

/// Why a client left a namespace.
///
/// | when | [text](Self::as_str) |
/// |---|---|
/// | the client left the namespace | `client namespace disconnect` |
/// | [`Socket::disconnect`](crate::Socket::disconnect), [`disconnect_all`](crate::Socket::disconnect_all), by id from anywhere | `server namespace disconnect` |
/// | the server shuts down | `server shutting down` |
/// | the client sent a packet against the rules of Socket.IO | `forced close` |
/// | the handlers of its connection took nothing for too long | `forced close` |
/// | the client sent something that is not a packet of the transport | `parse error` |
/// | the client answered no ping in time | `ping timeout` |
/// | the client closed its transport | `transport close` |
/// | the transport broke, or was used against its rules | `transport error` |
/// | the client read too slowly | `overflow` |
///
/// The texts are Node's, but for `overflow`: Node keeps everything in memory. Its `forced server close` ends connections without a client
/// in any namespace, of which no handler learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// The server disconnected the client from the namespace.
    ServerNamespaceDisconnect,
    /// The connection under the namespace is gone.
    Connection(CloseReason),
}

impl DisconnectReason {
    /// Returns the reason in the words of Node's server.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::Connection(CloseReason::ServerShutdown) => "server shutting down",
            Self::Connection(reason) => reason.as_str(),
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
