//! The harness itself, and the other implementations among themselves: what the other tests stand on.

mod documents;
mod peers;
mod prepare;
mod process;
mod proxy;
mod redis;
mod targets;
