#![doc = include_str!("../README.md")]
//!
//! # Files
//!
//! | file | contents |
//! |---|---|
//! | `wire.rs`, `limits.rs`, `plan.rs` | the wires as values; the limits of a process; the names of their topics |
//! | `outgoing.rs` | what a message becomes on these wires, or that they cannot carry it |
//! | `classic.rs`, `cluster.rs` | encoding: of the classic adapter; of the two others |
//! | `format.rs` | JSON and MessagePack behind one trait |
//! | `kinds.rs` | the numbers of the kinds of messages, for encoding and decoding |
//! | `request_id.rs`, `response.rs` | the ids of requests; decoding of the responses to them |
//! | `messenger.rs`, `shipment.rs` | sending for one process; what is handed to the broker |
//! | `notices.rs` | the form of messages with PostgreSQL: notifications and attachments |
//! | `listener.rs`, `receiver.rs`, `retire.rs` | receiving, for each namespace; one subscription; the end of a server |
//! | `rooms.rs` | the channels of rooms with members on this server |
//! | `member.rs` | a server of ours among Node's: their messages, and its responses |
//! | `unheard.rs` | the channels of rooms that a process without members does not receive |
//! | `heartbeats.rs` | the servers of adapters that know them by their heartbeats |
#![deny(missing_docs)]

mod classic;
mod cluster;
mod format;
mod heartbeats;
mod kinds;
mod limits;
mod listener;
mod member;
mod messenger;
mod notices;
mod outgoing;
mod plan;
mod receiver;
mod request_id;
mod response;
mod retire;
mod rooms;
mod shipment;
mod unheard;
mod wire;

#[cfg(test)]
mod tests;

pub use limits::NodeLimits;
pub use rooms::SubscriptionMode;
pub use wire::NodeWire;
