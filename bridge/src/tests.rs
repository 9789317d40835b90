//! Bridges between fleets in memory.

mod carried;
mod defects;
mod election;
mod loops;
mod support;
