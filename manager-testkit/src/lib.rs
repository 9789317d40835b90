//! What every implementation of [`ClientManager`](manager_api::ClientManager) is tested with.
//!
//! - [`conformance!`] makes one named test of every behaviour in the contract; a backend writes one [`Backend`] and one line of
//!   code. Which case shows which sentence of the contract is in `conformance/contract.rs`.
//! - [`Flaky`] wraps any manager and fails, loses, doubles, delays or cuts on command.
//! - [`Recorder`] wraps any manager and keeps what passed.
//!
//! Use it from `tests/`, never from unit tests of a crate that `manager-api` depends on.
#![deny(missing_docs)]

pub mod conformance;
mod flaky;
pub mod hub;
mod recorder;

pub use conformance::{Backend, Fault, Link, OnLink};
pub use flaky::Flaky;
pub use recorder::{MAX_RECORDED, Recorder};
