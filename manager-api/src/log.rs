//! Safe log lines: limited in rate, with untrusted text escaped, and without effect on the caller if writing fails.

mod escaped;
mod limited;
mod quiet;

pub use escaped::Escaped;
pub use limited::{LimitedLog, Suppressed};
pub use quiet::quietly;

/// Cuts untrusted text to [`Escaped::MAX`] bytes, for a field of a log line or span that is text: it is quoted and escaped by
/// what writes the line.
pub fn cut(text: &str) -> &str {
    let end = (0..=Escaped::<()>::MAX.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}
