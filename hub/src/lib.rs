//! The server side of a [`ClientManager`]: clients and their rooms, delivery to them, and participation in the cluster.
//!
//! A [`Hub`] connects the clients of one process with those of every other process on the channel. It delivers events
//! to its own clients first and then publishes them, carries out the messages of other processes, and responds to their
//! requests. The server defines its client handles and the delivery of packets by [`Deliver`]. A worker that only emits
//! does not need a hub: it uses [`Emitter`] of `manager-api`.
//!
//! | module | contents |
//! |---|---|
//! | [`deliver`] | the traits that a server implements: delivery to clients, and their observer |
//! | [`registry`] | the clients and their rooms; a data structure without I/O |
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
