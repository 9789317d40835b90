//! The failures of attempts to use Kafka, and the errors that callers receive.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use manager_api::backend::seconds;
use manager_api::diagnosis::Code;
use manager_api::{Error, ErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::refusal::{Right, advice, cause_of, code_of, is_about_advertised, is_refusal};

/// A failed attempt to use the brokers.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    what: String,
    is_refused: bool,
    /// Whether the URL leads to what is not the server that it says.
    is_wrong_url: bool,
    /// The cause as a diagnosis calls it.
    cause: Code,
    source: Option<Arc<KafkaError>>,
}

impl Failure {
    /// Creates the failure that the client library reports for an `attempt`.
    pub(crate) fn new(attempt: &str, error: KafkaError) -> Self {
        let code = code_of(&error);
        let what = match code {
            Some(code) => format!("{attempt}: {code}"),
            None => format!("{attempt}: {error}"),
        };
        Self {
            what,
            is_refused: code.is_some_and(|code| is_refusal(code, "")),
            is_wrong_url: false,
            cause: code.map_or(Code::Unreachable, |code| cause_of(code, "")),
            source: Some(Arc::new(error)),
        }
    }

    /// Creates the failure that the client library reports for an `attempt` that needs a right on the topic.
    pub(crate) fn needing(right: Right, topic: &str, attempt: &str, error: KafkaError) -> Self {
        let missing = code_of(&error).and_then(|code| right.missing(code, topic));
        let failure = Self::new(attempt, error);
        Self {
            what: missing.map_or(failure.what, |missing| format!("{attempt}: {missing}")),
            ..failure
        }
    }

    /// Creates the failure that the client library reports by itself about the topic or its connections.
    pub(crate) fn reported(topic: &str, error: KafkaError, reason: &str) -> Self {
        let code = code_of(&error);
        let missing = code.and_then(|code| Right::missing_to_produce(code, reason, topic));
        let cause = match missing {
            Some(_) => Code::MissingRight,
            None => code.map_or(Code::Unreachable, |code| cause_of(code, reason)),
        };
        Self {
            is_refused: missing.is_some() || code.is_some_and(|code| is_refusal(code, reason)),
            what: missing.unwrap_or_else(|| match advice(reason) {
                Some(advice) => format!("{reason}: {advice}"),
                None => reason.to_owned(),
            }),
            is_wrong_url: false,
            cause,
            source: Some(Arc::new(error)),
        }
    }

    /// Creates the refusal of a user who lacks a right.
    pub(crate) fn missing_right(what: String, error: KafkaError) -> Self {
        Self {
            is_refused: true,
            cause: Code::MissingRight,
            source: Some(Arc::new(error)),
            ..Self::other(what)
        }
    }

    /// Creates the refusal of what is not the service that the URL says, and will not become it.
    pub(crate) fn wrong_url(cause: Code, what: String) -> Self {
        Self {
            is_refused: true,
            is_wrong_url: true,
            cause,
            ..Self::other(what)
        }
    }

    /// Creates the failure of a topic that does not exist, and is not to be created.
    pub(crate) fn no_topic(topic: &str) -> Self {
        Self {
            cause: Code::TopicMissing,
            ..Self::other(format!("the topic {topic:?} does not exist"))
        }
    }

    /// Creates any other failure; another attempt may succeed.
    pub(crate) fn other(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            is_refused: false,
            is_wrong_url: false,
            cause: Code::Unreachable,
            source: None,
        }
    }

    /// Returns whether retrying soon is pointless: the login, a permission or the topic's properties are wrong.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Returns the error of a call that was refused, or whose `deadline` passed while there was no connection.
    pub(crate) fn unreachable(&self, label: &str, deadline: Duration) -> Error {
        let text = match self.is_refused {
            true => format!("cannot use Kafka at {label}: {}", self.what),
            false => format!(
                "cannot reach Kafka at {label} within {}: {}",
                seconds(deadline),
                self.what
            ),
        };
        let kind = match self.is_wrong_url {
            true => ErrorKind::Config,
            false => ErrorKind::Connect,
        };
        let cause = match self.cause {
            Code::Unreachable if is_about_advertised(&self.what, label) => Code::AdvertisedListener,
            cause => cause,
        };
        Error::new(kind, text)
            .with_source(self.clone())
            .with_cause(cause)
            .refused_if(self.is_refused)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Returns the error of a call whose deadline passed without a failure.
pub(crate) fn timed_out(label: &str, deadline: Duration) -> Error {
    let text = format!("Kafka at {label} did not answer within {}", seconds(deadline));
    Error::new(ErrorKind::Timeout, text)
}

/// Returns the error of options that the client library does not accept.
pub(crate) fn unusable(error: KafkaError) -> Error {
    match error {
        // Without the value and the library's text about it: it may be a secret.
        KafkaError::ClientConfig(_, _, name, _) => {
            let text = format!("librdkafka has no property {name:?}, or cannot use the value it was given");
            Error::new(ErrorKind::Config, text)
        }
        error => Error::new(ErrorKind::Config, format!("librdkafka cannot be set up: {error}")).with_source(error),
    }
}

/// Returns the error of a message of `len` bytes that was not delivered.
pub(crate) fn not_delivered(label: &str, topic: &str, len: usize, error: KafkaError) -> Error {
    let code = code_of(&error);
    if let Some(missing) = code.and_then(|code| Right::Write.missing(code, topic)) {
        let text = format!("Kafka at {label} refused the message: {missing}");
        let refused = Error::new(ErrorKind::Publish, text).with_source(error).refused();
        return refused.with_cause(Code::MissingRight);
    }
    let (kind, text) = match code {
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge) => {
            let text = format!(
                "Kafka at {label} refused a message of {len} bytes as too large (max.message.bytes of the topic)"
            );
            (ErrorKind::TooLarge, text)
        }
        Some(code) => (
            ErrorKind::Publish,
            format!("Kafka at {label} did not take the message: {code}"),
        ),
        None => (
            ErrorKind::Publish,
            format!("Kafka at {label} did not take the message: {error}"),
        ),
    };
    Error::new(kind, text)
        .with_source(error)
        .with_cause(code.map(|code| cause_of(code, "")))
        .refused_if(code.is_some_and(|code| is_refusal(code, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_an_absence() {
        let deadline = Duration::from_secs(1);
        let absent = KafkaError::Global(RDKafkaErrorCode::AllBrokersDown);
        let absent = Failure::reported("t", absent, "1/1 brokers are down").unreachable("h:1", deadline);
        assert_eq!(absent.kind(), ErrorKind::Connect);
        assert!(
            absent.to_string().contains("h:1 within 1 s: 1/1 brokers are down"),
            "{absent}"
        );
        let refused = Failure::reported(
            "t",
            KafkaError::Global(RDKafkaErrorCode::Authentication),
            "bad password",
        );
        assert!(refused.is_refused());
        let refused = refused.unreachable("h:1", deadline).to_string();
        assert_eq!(refused, "cannot use Kafka at h:1: bad password");
    }

    #[test]
    fn kinds_follow_what_the_broker_said() {
        for (code, kind, is_retryable) in [
            (RDKafkaErrorCode::MessageSizeTooLarge, ErrorKind::TooLarge, false),
            (RDKafkaErrorCode::TopicAuthorizationFailed, ErrorKind::Publish, false),
            (RDKafkaErrorCode::PolicyViolation, ErrorKind::Publish, false),
            (RDKafkaErrorCode::NotEnoughReplicas, ErrorKind::Publish, true),
        ] {
            let error = not_delivered("h:1", "t", 7, KafkaError::MessageProduction(code));
            assert_eq!((error.kind(), error.is_retryable()), (kind, is_retryable));
            assert!(error.to_string().contains("h:1"), "{error}");
        }
    }
}
