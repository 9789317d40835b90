//! Hub level of the suite: hosts with recorded clients on one channel of a backend, and what the documentation of `Hub` and `Emitter`
//! promises of them.

mod acks;
mod host;
mod messages;
mod outage;

pub use acks::*;
pub use messages::*;
pub use outage::*;
