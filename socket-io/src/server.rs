//! A server: its state, its handle, its builder, and what it is among other servers.

mod builder;
mod cluster;
mod handle;
mod opener;
mod state;

pub use builder::SocketIoBuilder;
pub use handle::SocketIo;
#[cfg(feature = "admin")]
pub(crate) use state::Server;
