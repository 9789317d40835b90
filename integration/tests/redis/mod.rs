//! Redis: faults and flavours, on servers of the tests' own.

mod faults;
mod flavours;
mod limits;
mod log;
mod refusals;
mod replicas;
pub(crate) mod server;
mod tls;
pub(crate) mod topics;
