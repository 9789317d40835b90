//! The client side of a benchmark: connections that cost the generator as little as possible.

pub mod client;
mod crowd;
pub mod polling;
mod target;

pub use client::Client;
pub use crowd::{Crowd, connect_many};
pub use target::Target;
