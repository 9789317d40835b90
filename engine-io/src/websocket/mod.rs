//! WebSockets: the handshake, the frames, and the task that owns one.
//!
//! A request with a valid [`handshake`] gets the status 101; [`accept`] then takes the connection
//! over from the HTTP server. A new session gets a [`task`] at once; one on long-polling is
//! upgraded first, by a [`probe`].
//!
//! # A frame of the client
//!
//! The task reads into a buffer that all connections of a thread share, and the [`frame`] decoder
//! hands each message out as a slice of it: only an incomplete frame is copied, and an idle
//! connection has no buffer. A compressed message is unpacked by [`deflate`], up to the limit of a
//! message. A frame against the rules is a [`violation`], whose code the close frame names
//! ([`linger`]).
//!
//! # A packet for the client
//!
//! A packet was encoded, its header included, before it was queued. The task takes all that the
//! outbox holds, writes up to 64 pieces in one vectored write, and leaves the rest to its next
//! turn. What the kernel did not take counts for the outbox until it does.

pub(crate) mod accept;
pub(crate) mod deflate;
pub(crate) mod frame;
pub(crate) mod handshake;
mod linger;
mod probe;
pub(crate) mod stream;
mod task;
pub(crate) mod violation;
