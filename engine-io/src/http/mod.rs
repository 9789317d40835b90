//! The HTTP side of an engine: routing, origins, bodies, and both requests of long-polling.
//!
//! Public are the types that a host framework meets: the [body of responses](ResponseBody), the
//! facts that it may put into the extensions of a request ([`PeerAddr`], [`Secure`]), and a
//! [stream](PacedStream) that limits how long a write may stall.

pub(crate) mod allow;
pub(crate) mod body;
pub(crate) mod coding;
pub(crate) mod cookie;
pub(crate) mod cors;
pub(crate) mod get;
pub(crate) mod handshake;
pub(crate) mod origin;
pub(crate) mod origins;
pub(crate) mod paced;
pub(crate) mod post;
pub(crate) mod refusal;
pub(crate) mod response;
pub(crate) mod route;
pub(crate) mod service;
pub(crate) mod unsent;

pub use body::ResponseBody;
pub use handshake::{PeerAddr, Secure};
pub use paced::{PacedStream, Progress};
