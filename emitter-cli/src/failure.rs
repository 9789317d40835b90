//! How a command fails, and with which exit code.

use std::fmt;
use std::io;

use manager_api::{Error, ErrorKind};

use crate::output::printable;

/// The most that is said of a failure, in bytes.
const MAX_TEXT: usize = 4096;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user's input cannot be used; nothing was sent. Exit code 2.
    Input(anyhow::Error),
    /// The broker, a client or the system did not play along. Exit code 1.
    Broker(anyhow::Error),
    /// Whoever read standard output has had enough. Exit code 0.
    ClosedPipe,
}

impl Failure {
    /// An input failure that says `text`.
    pub(crate) fn input(text: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Failure {
        Failure::Input(anyhow::Error::msg(text))
    }

    /// A failure of the broker that says `text`.
    pub(crate) fn broker(text: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Failure {
        Failure::Broker(anyhow::Error::msg(text))
    }

    /// Makes failures of what the system refused, with what was attempted.
    pub(crate) fn system(attempt: impl fmt::Display + Send + Sync + 'static) -> impl FnOnce(io::Error) -> Failure {
        move |error| Failure::Broker(anyhow::Error::new(error).context(attempt.to_string()))
    }

    /// Sorts an error of a manager by who can do something about it, with what was attempted.
    pub(crate) fn of(error: Error, attempt: impl fmt::Display) -> Failure {
        let is_input = matches!(
            error.kind(),
            ErrorKind::Config | ErrorKind::Malformed | ErrorKind::TooLarge
        );
        let error = anyhow::Error::new(error).context(attempt.to_string());
        if is_input {
            Failure::Input(error)
        } else {
            Failure::Broker(error)
        }
    }

    /// What may help, where that is known.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        let Failure::Broker(error) = self else {
            return None;
        };
        let kind = error
            .chain()
            .find_map(|cause| cause.downcast_ref::<Error>())
            .map(Error::kind)?;
        matches!(kind, ErrorKind::Connect | ErrorKind::Timeout)
            .then_some("is the broker running? start one with `sio serve`, or name another with --url or SIO_URL")
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Input(_) => 2,
            Failure::Broker(_) => 1,
            Failure::ClosedPipe => 0,
        }
    }
}

impl fmt::Display for Failure {
    /// The whole chain of causes on one line. A cause that its effect quotes already is not said twice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Input(error) | Failure::Broker(error)) = self else {
            return f.write_str("standard output was closed");
        };
        let mut said = String::new();
        for cause in error.chain() {
            let text = cause.to_string();
            let words = text.split(" (os error").next().unwrap_or_default().to_lowercase();
            if said.to_lowercase().contains(&words) {
                continue;
            }
            if !said.is_empty() {
                said.push_str(": ");
            }
            said.push_str(&text);
        }
        // Brokers and files are quoted in it.
        let end = (0..=MAX_TEXT.min(said.len()))
            .rev()
            .find(|end| said.is_char_boundary(*end));
        let shown = &said[..end.unwrap_or_default()];
        f.write_str(&printable(shown))?;
        f.write_str(if shown.len() < said.len() { "…" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_one_line_and_repeats_nothing() {
        let io = io::Error::new(io::ErrorKind::ConnectionRefused, "Connection refused (os error 111)");
        let error = Error::new(ErrorKind::Connect, "cannot reach h:1: connection refused").with_source(io);
        let failure = Failure::of(error, "cannot emit \"news\"");
        assert_eq!(
            failure.to_string(),
            "cannot emit \"news\": cannot reach h:1: connection refused"
        );
        assert_eq!(failure.code(), 1);
    }

    #[test]
    fn what_a_broker_says_moves_no_cursor_and_floods_no_terminal() {
        let said = format!("the server refused: -ERR \u{1b}[2J\r\n\u{9b}1m{}", "é".repeat(5000));
        let failure = Failure::of(Error::new(ErrorKind::Connect, said), "cannot emit");
        let text = failure.to_string();
        assert!(!text.contains(char::is_control) && text.len() < 5000, "{text:?}");
        assert!(text.contains(r"\u{1b}[2J\r\n") && text.ends_with('…'), "{text}");
    }
}
