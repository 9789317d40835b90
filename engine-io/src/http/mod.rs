//! The HTTP side of an engine: routing, origins, bodies, and both requests of long-polling.
//!
//! A request passes the check of its origin, then the router, which finds its session or the reason
//! to refuse it. Handshakes and refusals get their response at once; a GET waits for packets, and a
//! POST until the session has accepted its packets. The head of a request is dropped before it
//! waits.
//!
//! The packets of a response count for the outbox of their session until the HTTP server has
//! written them, in pieces of 64 KiB at most: a client that does not read is held to the limits of
//! its session on long-polling, too.
//!
//! Public are the types that a host framework meets: the [body of responses](ResponseBody), the
//! facts that it may put into the extensions of a request ([`PeerAddr`], [`Secure`]), and a
//! [stream](PacedStream) that limits how long a write may stall.

pub(crate) mod allow;
pub(crate) mod body;
pub(crate) mod coding;
pub(crate) mod cookie;
pub(crate) mod cors;
pub(crate) mod forwarded;
pub(crate) mod get;
pub(crate) mod handshake;
pub(crate) mod origin;
pub(crate) mod origins;
pub(crate) mod paced;
mod payload;
pub(crate) mod post;
pub(crate) mod refusal;
pub(crate) mod response;
pub(crate) mod route;
pub(crate) mod service;
pub(crate) mod unsent;

pub use body::ResponseBody;
pub use handshake::{PeerAddr, PeerNetwork, Secure};
pub use paced::{PacedStream, Progress};
