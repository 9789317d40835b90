//! Standard output, a line at a time, where a closed pipe ends the command quietly; and lines for the user on standard error.

use std::fmt::Write as _;
use std::io::{self, Write};

use manager_api::log::Escaped;

use crate::failure::Failure;
use crate::{form, stderr};

/// Prints a line and flushes it, so that the reader of a pipe gets it at once.
pub(crate) fn print_line(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n"));
    written.and_then(|()| out.flush()).map_err(closed)
}

/// Prints text as it is.
pub(crate) fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).map_err(closed)
}

/// As [`print`], on a thread that may wait for the reader of a full pipe; the task that prints goes on with what else it waits for.
///
/// # Cancel safety
///
/// If the future is dropped the text may be printed all the same.
pub(crate) async fn printed(text: String) -> Result<(), Failure> {
    let printing = tokio::task::spawn_blocking(move || print(text.as_bytes()));
    let failed = |error| Failure::broker(format!("cannot write to standard output: {error}"));
    printing.await.map_err(failed)?
}

/// Tells the user something on standard error, and waits a moment until it is written. Where that is full, closed or not read nothing else
/// happens: it changes neither what the command does nor its exit code.
pub(crate) fn tell(line: &str) {
    stderr::tell(&form::lines(line));
}

/// What it means that standard output takes no more: the reader of a pipe has had enough, or there is no room.
pub(crate) fn closed(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::ClosedPipe;
    }
    Failure::system("cannot write to standard output")(error)
}

/// Text from elsewhere without what a terminal would act on.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for letter in text.chars() {
        match Escaped::acts(letter) {
            true => printable.extend(letter.escape_default()),
            false => printable.push(letter),
        }
    }
    printable
}

/// JSON as one line without what a terminal would act on; it means the same.
///
/// Between tokens there may be line ends, where others wrote it; within strings JSON allows the control characters from U+007F on, and those that
/// turn the direction of writing.
pub(crate) fn json_line(json: String) -> String {
    if !json.contains(Escaped::acts) {
        return json;
    }
    let mut line = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            '\n' | '\r' | '\t' => line.push(' '),
            _ if Escaped::acts(letter) => {
                // All of them are in the first plane. Writing to a string does not fail.
                let _ = write!(line, "\\u{:04x}", u32::from(letter));
            }
            _ => line.push(letter),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_from_elsewhere_is_one_line_that_means_the_same_and_moves_no_cursor() {
        let json = "[1,\n{\"a\":\r\t\"\u{9b}2J\u{7f}\u{202e}\u{2028}ü\"}]";
        let line = json_line(json.to_owned());
        assert!(!line.contains(Escaped::acts), "{line:?}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&line), value(json));
        assert_eq!(json_line("[\"ü\"]".to_owned()), "[\"ü\"]");
    }
}
