//! The suite and the faults, on real servers of the tests' own. Needs `redis-server` on the PATH.

mod conformance;
mod faults;
mod flavours;
mod server;
