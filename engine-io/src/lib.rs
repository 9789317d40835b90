//! Engine.IO v4 server: long-polling, WebSocket, upgrade, heartbeat, limits.
//!
//! An [`Engine`] answers HTTP requests and hands the messages of each client to a [`Session`] that a [`Handler`] made for
//! it; a [`Socket`] sends the other way. The crate knows hyper's types and tokio's sockets, no web framework.
//!
//! - Requests in: [`Engine::handle`] takes any `http::Request`, and takes the connection over when it becomes a WebSocket.
//! - Packets out: an [`Outgoing`] is encoded once and shared by all its recipients; [`Socket::send`] never blocks.
//! - Limits: everything a client can make the server hold is bounded by a field of [`Config`].
//!
//! # Logs
//!
//! Everything has the `tracing` target `engine_io`, so that `RUST_LOG=engine_io=debug` turns it on alone.
//!
//! | level | what |
//! |---|---|
//! | `warn` | a client read too slowly and was disconnected; all outboxes together are over their limit; a session panicked; too many sessions; an origin is not allowed (each at most once a second, with the number left out); sessions still at work after a shutdown |
//! | `debug` | a session opened (transport), moved to a WebSocket, or failed to; a session closed (reason); a request was refused (why); a message was refused (by the session); a client broke the rules of WebSockets; a connection broke |
//!
//! No line holds a payload, a header, a cookie or the id of a session, which is a secret.

mod allow;
mod answer;
mod attachment;
mod body;
mod budget;
mod close;
mod coding;
mod config;
mod cookie;
mod cors;
mod driver;
mod engine;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod inbound;
mod log;
mod metrics;
mod origin;
mod outgoing;
mod paced;
mod packet;
mod polling;
mod post;
mod route;
mod session;
mod sessions;
mod shared;
mod shutdown;
mod socket;
mod state;
mod timer;
mod unsent;
mod websocket;

pub use allow::{AllowRequest, Forbidden};
pub use body::ResponseBody;
pub use close::CloseReason;
pub use config::{Config, ConfigError, Transport, Transports};
pub use cookie::{Cookie, SameSite};
pub use cors::AllowedOrigins;
pub use engine::Engine;
pub use error::{BoxError, ProtocolError, SendError};
pub use handshake::{Handshake, PeerAddr, Secure};
pub use metrics::{ClosedBy, Metrics};
pub use outgoing::Outgoing;
pub use paced::{PacedStream, Progress};
pub use session::{Handler, Message, Session};
pub use socket::{Sent, Socket};
