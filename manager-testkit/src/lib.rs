#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod conformance;
mod flaky;
pub mod hub;
mod recorder;

pub use conformance::{Backend, Fault, Link, OnLink};
pub use flaky::Flaky;
pub use recorder::{MAX_RECORDED, Recorder};
