//! Bridges between fleets in memory.

mod carried;
mod election;
mod loops;
mod support;
