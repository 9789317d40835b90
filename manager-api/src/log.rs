//! Log lines that are safe to write: at a limited rate, with text from outside escaped, and never in the way of the caller.

mod escaped;
mod limited;
mod quiet;

pub use escaped::Escaped;
pub use limited::{LimitedLog, Suppressed};
pub use quiet::quietly;
