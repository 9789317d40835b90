//! The server over real sockets, packet by packet.
#![allow(clippy::unwrap_used, reason = "what fails in a helper has failed the test")]

mod acks;
mod client;
mod connect;
mod events;
mod hosting;
mod lifecycle;
#[cfg(feature = "static-files")]
mod static_files;
