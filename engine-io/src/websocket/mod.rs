//! WebSockets: the handshake, the frames, and the task that owns one.

pub(crate) mod accept;
pub(crate) mod deflate;
pub(crate) mod frame;
pub(crate) mod handshake;
mod linger;
mod probe;
pub(crate) mod stream;
mod task;
pub(crate) mod violation;
