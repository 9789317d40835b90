//! Standard output, a line at a time; a closed pipe ends the command quietly.

use std::io::{self, Write};

use crate::failure::Failure;

/// Prints a line and flushes it, so that whoever reads a pipe gets it at once.
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

fn closed(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::ClosedPipe;
    }
    Failure::system("cannot write to standard output")(error)
}

/// Text from elsewhere without what a terminal would act on.
pub(crate) fn printable(text: &str) -> String {
    let show = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    text.chars().map(show).collect()
}
