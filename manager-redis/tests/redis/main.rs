//! Faults and flavours, on real servers of the tests' own. Needs `redis-server` on the PATH.
//! The conformance suite runs in `integration`.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod faults;
mod flavours;
mod limits;
mod refusals;
mod replicas;
mod server;
mod tls;
