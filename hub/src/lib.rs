//! What a Socket.IO server does with a [`ClientManager`]: its clients and their rooms, delivery to them, and the part it takes in the
//! cluster.
//!
//! A [`Hub`] joins the clients of one process to those of every other process on the channel. It delivers to its own clients first and
//! publishes then, carries out what the other processes publish, and answers their requests. What a client is and how a packet reaches
//! it is the server's business, told by [`Deliver`]. A worker that only emits needs none of this: it uses [`Emitter`] of `manager-api`.
//!
//! | module | what it is |
//! |---|---|
//! | [`deliver`] | the server side of a hub: what delivers to clients, and what observes them |
//! | [`registry`] | which client is in which room; a data structure without I/O |
//! | [`Hub`], [`HubOptions`], [`HubMetrics`] | the hub, its limits, its counters |
//!
//! [`ClientManager`]: manager_api::ClientManager
//! [`Emitter`]: manager_api::Emitter
#![deny(missing_docs)]

pub mod deliver;
mod hub;
mod options;
pub mod registry;

pub use deliver::{Deliver, Pressure};
pub use hub::{Hub, HubMetrics};
pub use options::HubOptions;
pub use registry::{Recipients, Registry};
