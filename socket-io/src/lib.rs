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
//! - `static-files`: `StaticFiles`, a layer that serves files and folders behind the server. Off by default.
//!
//! # Layout
//!
//! A request becomes a `connection` (engine-io calls it for each message), whose packets (`packet`) are turned into work for the
//! `handler`s of a `namespace`. A `client` is one connection in one namespace; [`Socket`] is its public face. The `server` joins them
//! with the hub of `manager-api`, which reaches the clients of this host through `client::Local`.
#![deny(missing_docs)]

mod client;
mod config;
mod connect_timeout;
mod connection;
mod error;
mod handler;
mod namespace;
mod packet;
mod serve;
mod server;
mod service;
mod socket;
#[cfg(feature = "static-files")]
mod static_files;

pub use config::Config;
pub use error::{DisconnectReason, Refusal};
pub use handler::{
    Ack, Auth, ConnectContext, Context, Data, DisconnectContext, EventContext, FromContext, Handler, HandlerError,
    IntoOutcome, Rejection, State,
};
pub use namespace::Namespace;
pub use serve::{serve, serve_with};
pub use server::{Metrics, SocketIo, SocketIoBuilder};
pub use service::{Body, NotFound, SocketIoLayer, SocketIoService};
pub use socket::Socket;
#[cfg(feature = "static-files")]
pub use static_files::{StaticBody, StaticFiles, StaticFilesService};

pub use engine_io::{self, CloseReason, Handshake, PeerAddr, Transport, Transports};
pub use manager_api::{
    self, Answer, Answers, Broadcast, ClientManager, Error, ErrorKind, EventName, Namespace as NamespaceName, Payload,
    Room, Sid,
};
