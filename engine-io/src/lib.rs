//! Engine.IO v4 server: long-polling, WebSocket, upgrade, heartbeat, limits.
//!
//! An [`Engine`] answers HTTP requests and hands the messages of each client to a [`Session`] that a [`Handler`] made for
//! it; a [`Socket`] sends the other way. The crate knows hyper's types and tokio's sockets, no web framework.
//!
//! - Requests in: [`Engine::handle`] takes any `http::Request`, and takes the connection over when it becomes a WebSocket.
//! - Packets out: an [`Outgoing`] is encoded once and shared by all its recipients; [`Socket::send`] never blocks.
//! - Limits: everything a client can make the server hold is bounded by a field of [`Config`].

mod answer;
mod body;
mod close;
mod coding;
mod config;
mod cookie;
mod cors;
mod driver;
mod engine;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handshake;
mod inbound;
mod log;
mod metrics;
mod outgoing;
mod packet;
mod polling;
mod post;
mod route;
mod session;
mod sessions;
mod shared;
mod socket;
mod state;
mod timer;
mod websocket;

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
pub use session::{Handler, Message, Session};
pub use socket::{Sent, Socket};
