#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! [`SocketIo::new`] or [`SocketIo::builder`]; [`SocketIo::namespace`] to register [handlers](handler), whose arguments are
//! [extractors](extract); then [`serve`](serve()), [`SocketIo::layer`] or [`SocketIo::service`]. [`Socket`], [`Namespace`] and
//! [`SocketIo`] emit.
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "admin")]
pub mod admin;
mod client;
pub mod config;
mod connection;
mod counters;
mod error;
pub mod extract;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod handler;
mod log;
pub mod metrics;
mod namespace;
mod packet;
mod server;
pub mod service;
pub mod socket;
mod states;
#[cfg(feature = "static-files")]
pub mod static_files;

pub use error::Refusal;
pub use extract::{Auth, Data};
pub use handler::Ack;
pub use manager_api::{self, Error};
pub use namespace::Namespace;
pub use server::{SocketIo, SocketIoBuilder};
pub use service::serve;
pub use socket::Socket;
