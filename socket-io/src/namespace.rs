//! Namespaces: their names, their handlers, and the way to their clients.

mod directory;
mod handle;
mod handlers;
mod state;

pub(crate) use directory::{Attendance, Directory};
pub use handle::Namespace;
pub use handlers::Handlers;
pub(crate) use state::NamespaceState;
