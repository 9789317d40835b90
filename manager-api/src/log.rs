//! Safe log lines: limited in rate, with untrusted text escaped, and without effect on the caller if writing fails.

mod escaped;
mod limited;
mod quiet;

pub use escaped::Escaped;
pub use limited::{LimitedLog, Suppressed};
pub use quiet::quietly;
