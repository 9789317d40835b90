//! The server over real sockets, packet by packet.
//!
//! Which of these tests shows that a defect of another server is not ours is said in `docs/defects.md`.
#![allow(clippy::unwrap_used, reason = "what fails in a helper has failed the test")]

mod acks;
#[cfg(feature = "admin")]
mod admin;
mod ages;
mod client;
mod connect;
mod defects;
mod emits;
mod events;
mod extractors;
mod floods;
mod hosting;
mod kicks;
mod lifecycle;
mod lookalikes;
mod middleware;
mod msgpack;
mod names;
mod request;
mod rooms;
mod sessions;
#[cfg(feature = "static-files")]
mod static_files;
mod types;
mod unfinished;
mod wildcards;
