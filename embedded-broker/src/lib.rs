#![doc = include_str!("../README.md")]
//!
//! # Layout
//!
//! | module | what |
//! |---|---|
//! | `embedded` | the broker in a task of its own |
//! | `broker` | the bound listener, and what its connections share |
//! | `connection` | one client's socket |
//! | `session` | what each command does |
//! | `codec` | bytes to commands within limits, replies to bytes |
//! | `topics` | the table of subscriptions |
//! | `outbox` | what is to be sent to one client, bounded |
//! | `glob` | the patterns of PSUBSCRIBE |
//! | `limits`, `stats` | limits, counters |
#![deny(missing_docs)]

mod broker;
mod codec;
mod connection;
mod embedded;
#[cfg(fuzzing)]
pub mod fuzzing;
mod glob;
mod limits;
mod outbox;
mod session;
mod stats;
#[cfg(test)]
mod tests;
mod topics;

pub use broker::Broker;
pub use embedded::EmbeddedBroker;
pub use limits::Limits;
pub use stats::Stats;
