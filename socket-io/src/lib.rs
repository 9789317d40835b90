//! Socket.IO v5 server that scales over processes by a [`ClientManager`].
//!
//! Register async functions as handlers of a [`Namespace`], then [serve](serve()) the [`SocketIo`], or mount it in any tower stack as a
//! [service](SocketIo::service) or [layer](SocketIo::layer).
//!
//! ```no_run
//! use socket_io::{Data, Socket, SocketIo};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let io = SocketIo::new();
//! io.namespace("/")
//!     .on("join", async |socket: Socket, Data(room): Data<String>| socket.join(room))
//!     .on("say", async |socket: Socket, Data((room, text)): Data<(String, String)>| {
//!         socket.to(room).emit("said", &text).await
//!     });
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! socket_io::serve(listener, io, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `admin`: `Admin`, for the official Admin UI. Off by default.
//! - `static-files`: `StaticFiles`, a layer that serves files and folders behind the server. Off by default.
//!
//! # Layout
//!
//! A request becomes a `connection` (engine-io calls it for each message), whose packets (`packet`, written by a `parser`) are turned
//! into work for the `handler`s of a `namespace`. A `client` is one connection in one namespace; [`Socket`] is its public face. The `server` joins them
//! with the hub of `manager-api`, which reaches the clients of this host through `client::HubDelivery`.
//!
//! # Logging
//!
//! By `tracing`, with the target `socket_io`; the transport below logs with the target `engine_io`, so that each can be turned on alone.
//! Lines that clients can cause are limited to one a second of each kind, and say how many were left out.
//!
//! | level | what |
//! |---|---|
//! | `error` | a handler failed or panicked (with event, client and namespace); `serve` cannot accept a connection |
//! | `warn` | too many connections have joined nothing; an event or a connecting client does not fit its handler; middleware refused an event |
//! | `debug` | clients that leave, and why; events that nobody handles; connections that joined nothing in time; connections of `serve` that ended early |
//! | `trace` | what may quote a client: why exactly an argument did not fit |
//!
//! No payload, header, query or Engine.IO id is logged above `trace`. The text of errors that handlers return is the application's own.
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "admin")]
mod admin;
mod client;
mod cluster;
mod config;
mod connection;
mod counters;
mod date;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handler;
mod log;
mod namespace;
mod observe;
mod packet;
mod parser;
mod serve;
mod server;
mod service;
mod session;
mod socket;
#[cfg(feature = "static-files")]
mod static_files;
mod unjoined;

#[cfg(feature = "admin")]
pub use admin::{Admin, AdminMode, Credentials};
pub use config::Config;
pub use error::{DisconnectReason, Refusal};
pub use handler::{
    Ack, Auth, ConnectContext, Context, Data, DisconnectContext, EventContext, Extension, FromContext, Handler,
    HandlerError, IntoOutcome, Method, Methods, MiddlewareContext, NamespaceType, Pass, Query, Rejection, State,
};
pub use namespace::{Handlers, Namespace};
pub use parser::Parser;
pub use serve::{serve, serve_with};
pub use server::{Metrics, SocketIo, SocketIoBuilder};
pub use service::{Body, NotFound, SocketIoLayer, SocketIoService};
pub use session::SessionGuard;
pub use socket::Socket;
#[cfg(feature = "static-files")]
pub use static_files::{StaticBody, StaticFiles, StaticFilesService};

pub use engine_io::config::{AllowRequest, AllowedOrigins, Cookie, Forbidden, SameSite, Transports};
pub use engine_io::http::{PacedStream, PeerAddr, Secure};
pub use engine_io::{self, CloseReason, Handshake, Transport};
pub use hub;
pub use manager_api::ack::{AckStream, ClientAck};
pub use manager_api::cluster::{
    AckReport, DEFAULT_REQUEST_TIMEOUT, Gathered, RemoteSocket, ServerEvent, ServerResponse,
};
pub use manager_api::{
    self, Broadcast, ClientManager, Error, ErrorKind, EventName, Health, HostId, NamespaceName, Payload, Room, Sid,
};
