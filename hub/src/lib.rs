#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | [`deliver`] | the traits that a server implements: delivery to clients, and their observer |
//! | [`registry`] | the clients and their rooms; a data structure without I/O |
//! | [`Hub`], [`HubOptions`], [`HubMetrics`] | the hub, its limits, its counters |
#![deny(missing_docs)]

pub mod deliver;
mod hub;
mod options;
mod recent_keys;
pub mod registry;

pub use deliver::{Deliver, Pressure};
pub use hub::{Hub, HubMetrics};
pub use options::HubOptions;
pub use registry::{Recipients, Registry};
