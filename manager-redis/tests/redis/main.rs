//! The suite and the faults, on real servers of the tests' own. Needs `redis-server` on the PATH.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod conformance;
mod faults;
mod flavours;
mod server;
