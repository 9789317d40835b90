//! Hosting: the server as a tower service or layer, and on a listener of its own.
//!
//! | name | what |
//! |---|---|
//! | [`serve`](serve()), [`serve_with`] | the server on a TCP listener, alone or in front of another service |
//! | [`serve_on`], [`Listen`], [`Accepted`] | … on another listener: a Unix socket, or TLS |
//! | [`SocketIoLayer`], [`SocketIoService`] | the server in a tower stack, by [`layer`](crate::SocketIo::layer) and [`service`](crate::SocketIo::service) |
//! | [`PeerAddr`], [`Secure`] | facts of a request that the host framework tells |
//! | [`PacedStream`] | a TCP stream whose reader must not stand still, for hosts that accept connections themselves |
//! | [`Engine`], [`ResponseBody`] | the transport below, for hosts that answer requests themselves |

mod host;
mod layer;
mod listen;
mod not_found;
mod serve;

pub use engine_io::http::{PacedStream, PeerAddr, Secure};
pub use engine_io::{Engine, ResponseBody};
pub use layer::{Body, SocketIoLayer, SocketIoService};
pub use listen::{Accepted, Listen};
pub use not_found::NotFound;
pub use serve::{serve, serve_on, serve_with};
