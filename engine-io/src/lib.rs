#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! [`Engine::new`] with a [`Handler`] and a [`Config`], then [`Engine::handle`] for each request. A
//! [`Session`] receives messages, a [`Socket`] sends [`Outgoing`] packets; [`CloseReason`] says why
//! a session closed, and [`Engine::shutdown`] closes all of them.

mod attachment;
mod budget;
mod close;
pub mod config;
mod connection;
mod engine;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handler;
pub mod http;
mod log;
pub mod metrics;
mod outgoing;
mod packet;
mod sent;
mod session;
mod socket;
mod websocket;

pub use close::CloseReason;
pub use config::{Config, Transport};
pub use connection::held::HeldBytes;
pub use engine::Engine;
pub use error::{BoxError, ProtocolError};
pub use handler::Handler;
pub use http::body::ResponseBody;
pub use http::handshake::Handshake;
pub use metrics::Metrics;
pub use outgoing::Outgoing;
pub use sent::{SendError, Sent};
pub use session::{Message, Session};
pub use socket::Socket;
