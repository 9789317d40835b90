//! A client of a namespace, as handlers see it: what is known of it, what is kept with it, and why it is gone.

mod handle;
mod session;

pub use crate::error::DisconnectReason;
pub use engine_io::{CloseReason, Handshake, Transport};
pub use handle::Socket;
pub use session::SessionGuard;
