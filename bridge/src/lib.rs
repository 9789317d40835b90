#![doc = include_str!("../README.md")]
//!
//! # Files
//!
//! | file | contents |
//! |---|---|
//! | `bridge.rs`, `side.rs`, `options.rs` | how a bridge is made, and run |
//! | `receive.rs` | the task of a side: what arrives, and what becomes of it |
//! | `pending.rs`, `fingerprint.rs`, `item.rs` | what waits from one side to another, known by its mark |
//! | `forward.rs`, `carry.rs` | the task of a pair of sides: publishes in order; what a message becomes |
//! | `asked.rs`, `collect.rs`, `relay.rs`, `requests.rs`, `responses.rs` | acknowledgements, requests of servers, and their responses |
//! | `election.rs`, `control.rs` | which bridge forwards: a state machine, and its task |
//! | `takeover.rs`, `probes.rs` | what a bridge makes sure of before it forwards |
//! | `agreement.rs` | whether bridges of one name have the same sides |
//! | `survey.rs` | the task of a side that looks whether the bridge is in the right place |
//! | `given_up.rs` | what no other bridge is to forward |
//! | `shared.rs`, `counters.rs`, `status.rs`, `metrics.rs` | the state, and what is told of it |
#![deny(missing_docs)]

mod agreement;
mod asked;
mod bridge;
mod carry;
mod collect;
mod control;
mod counters;
mod election;
mod fingerprint;
mod forward;
mod given_up;
mod item;
pub mod metrics;
mod options;
mod pending;
mod probes;
mod receive;
mod relay;
mod requests;
mod responses;
mod shared;
mod side;
mod status;
mod survey;
mod takeover;

#[cfg(test)]
mod tests;

pub use bridge::{Bridge, BridgeBuilder};
pub use options::BridgeOptions;
pub use side::Side;
pub use status::{BridgeDuty, PairStatus, SideStatus, Status};
