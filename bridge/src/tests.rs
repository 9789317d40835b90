//! Bridges between fleets in memory.

mod asked;
mod carried;
mod deep;
mod defects;
mod election;
mod frozen;
mod loops;
mod support;
mod survey;
