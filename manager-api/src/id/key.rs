//! The key of an event that may be sent more than once.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::{Error, ErrorKind};

/// The name of one event, by which servers recognise its repeats and drop them: see
/// [`Broadcast::idempotency_key`](crate::Broadcast::idempotency_key).
///
/// 1 to [`MAX_LEN`](Self::MAX_LEN) bytes without control characters. It identifies the event within its namespace: the
/// id of a job, of a row, of a request. It is not a secret: every process on the channel can read it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(Arc<str>);
string_newtype!(IdempotencyKey);

impl IdempotencyKey {
    /// The most bytes of a key: enough for two UUIDs or a SHA-256 in hexadecimal, and a prefix.
    pub const MAX_LEN: usize = 128;

    /// Validates `key`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if it is empty, longer than [`MAX_LEN`](Self::MAX_LEN), or has a control character.
    pub fn new(key: &str) -> Result<Self, Error> {
        let text = match key.len() {
            0 => "an idempotency key must not be empty".to_owned(),
            len if len > Self::MAX_LEN => {
                let limit = Self::MAX_LEN;
                format!("an idempotency key of {len} bytes is over the limit of {limit}; a hash of it fits")
            }
            _ if key.contains(char::is_control) => {
                format!("idempotency key {key:?} must not contain control characters")
            }
            _ => return Ok(Self(key.into())),
        };
        Err(Error::new(ErrorKind::Config, text))
    }

    /// Generates a key that no other event has, for events that only need to survive a lost confirmation: the retries
    /// of one call have the same key, another call has another one.
    ///
    /// # Panics
    ///
    /// If the operating system has no source of randomness.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_limit_and_no_control_characters() {
        let longest = "k".repeat(IdempotencyKey::MAX_LEN);
        for good in ["job-7", "Zażółć 7", &longest, IdempotencyKey::random().as_str()] {
            assert_eq!(IdempotencyKey::new(good).unwrap(), good);
        }
        for (bad, reason) in [
            ("", "empty"),
            (&*format!("{longest}k"), "129 bytes is over the limit of 128"),
            ("a\nb", "control characters"),
            ("\u{7f}", "control characters"),
        ] {
            let error = IdempotencyKey::new(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(reason), "{error}");
        }
        assert_ne!(IdempotencyKey::random(), IdempotencyKey::random());
    }
}
