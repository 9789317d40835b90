//! The hot paths of a server, each as one operation that can be repeated: for micro-benches and instruction counts.
//!
//! All runs on one thread, and connections are buffers in memory: nothing depends on the kernel or on what else the machine does. The crate is apart from
//! the load generator so that it is built without brokers and their client libraries.

mod app;
mod event;
pub mod frame;
mod frames;
mod hot_path;
pub mod instructions;
mod pipe;
mod room;
mod wire;

pub use app::register;
pub use frames::Frames;
pub use hot_path::{HotPath, Operation};
pub use room::Room;
pub use wire::{Decode, Encode};
