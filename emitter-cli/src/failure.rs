//! How a command fails, and with which exit code.

use std::fmt;
use std::io;

use manager_api::log::Escaped;
use manager_api::{Error, ErrorKind};

use crate::output::printable;
use crate::stop::Signal;

/// The most that is said of a failure, in bytes.
const MAX_TEXT: usize = 4096;
/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user's input cannot be used; nothing was sent. Exit code 2.
    Input(anyhow::Error),
    /// The broker, a client or the system refused, failed or took too long. Exit code 1.
    Broker(anyhow::Error),
    /// There is no broker, as far as is known: [`Failure::Broker`] with what may help. Exit code 1.
    OutOfReach(anyhow::Error, &'static str),
    /// A signal ended the command before its work was done. Exit code 130 or 143.
    Signal(Signal, anyhow::Error),
    /// The command line is wrong, and was refused with words of its parser. Exit code 2.
    Usage,
    /// The reader of standard output has had enough. Exit code 0.
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

    /// What a signal left undone, as `text` says.
    pub(crate) fn signal(signal: Signal, text: impl fmt::Display) -> Failure {
        Failure::Signal(
            signal,
            anyhow::Error::msg(format!("ended by {}: {text}", signal.name())),
        )
    }

    /// Adds what the failure left undone.
    pub(crate) fn with(self, more: &str) -> Failure {
        let add = |error: anyhow::Error| anyhow::Error::msg(format!("{error:#}; {more}"));
        match self {
            Failure::Input(error) => Failure::Input(add(error)),
            Failure::Broker(error) => Failure::Broker(add(error)),
            Failure::OutOfReach(error, hint) => Failure::OutOfReach(add(error), hint),
            Failure::Signal(signal, error) => Failure::Signal(signal, add(error)),
            other @ (Failure::Usage | Failure::ClosedPipe) => other,
        }
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
        let told = if is_input && !error.is_refusal() {
            anyhow::Error::new(error)
        } else {
            // It says the cause in words of its own; its source says it again, in those of a client library.
            tracing::debug!(error = ?Escaped(&error), "{attempt}");
            anyhow::Error::msg(error.to_string())
        };
        let told = told.context(attempt.to_string());
        match is_input {
            true => Failure::Input(told),
            false => Failure::Broker(told),
        }
    }

    /// What may help, where that is known.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Failure::OutOfReach(_, hint) => Some(hint),
            _ => None,
        }
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Input(_) | Failure::Usage => 2,
            Failure::Broker(_) | Failure::OutOfReach(..) => 1,
            Failure::Signal(signal, _) => signal.code(),
            Failure::ClosedPipe => 0,
        }
    }
}

impl fmt::Display for Failure {
    /// The whole chain of causes on one line. A cause that its effect quotes already is not said twice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Input(error)
        | Failure::Broker(error)
        | Failure::OutOfReach(error, _)
        | Failure::Signal(_, error)) = self
        else {
            return f.write_str(match self {
                Failure::Usage => "the command line is wrong",
                _ => "standard output was closed",
            });
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
    fn a_cause_that_a_client_library_says_again_in_other_words_is_said_once() {
        let library = io::Error::other("IO error: Connection refused (os error 111)");
        let error = Error::new(ErrorKind::Connect, "cannot reach h:1 within 1 s: connection refused");
        let failure = Failure::of(error.with_source(library), "cannot emit");
        assert_eq!(
            failure.to_string(),
            "cannot emit: cannot reach h:1 within 1 s: connection refused"
        );
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
