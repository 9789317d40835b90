//! The hub level of the suite: hosts with recorded clients on one channel of a backend, for the contract of `Hub` and
//! `Emitter`.

mod acks;
mod host;
mod messages;
mod outage;

pub use acks::*;
pub use messages::*;
pub use outage::*;
