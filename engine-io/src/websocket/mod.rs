//! WebSockets, from the handshake to the last frame.

pub(crate) mod deflate;
pub(crate) mod frame;
pub(crate) mod handshake;
mod io;
mod linger;
mod probe;
mod task;

pub(crate) use io::{Purpose, Terms, accept};
