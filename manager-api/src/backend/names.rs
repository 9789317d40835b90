//! Checks of what callers pass to [`Topics`](crate::topics::Topics), with the same text in every manager.

use super::bad;
use crate::Error;
use crate::topics::{Entry, Interest};

/// The maximum length of the name of a topic or stream, and of a pattern, in bytes.
pub const MAX_NAME_LEN: usize = 4096;
/// The maximum number of interests of one subscription.
const MAX_INTERESTS: usize = 65_536;

/// Checks the name of a topic or stream, or a pattern.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) if it is longer than [`MAX_NAME_LEN`].
pub fn check_name(name: &str) -> Result<(), Error> {
    if name.len() > MAX_NAME_LEN {
        let len = name.len();
        return Err(bad(format!(
            "the name of a topic has {len} bytes, over the limit of {MAX_NAME_LEN}"
        )));
    }
    Ok(())
}

/// Checks the interests of a subscription.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) if there are none or too many, or one has a name that is too long.
pub fn check_interests(interests: &[Interest]) -> Result<(), Error> {
    if interests.is_empty() {
        return Err(bad("a subscription needs a topic"));
    }
    if interests.len() > MAX_INTERESTS {
        let count = interests.len();
        return Err(bad(format!(
            "a subscription to {count} topics is over the limit of {MAX_INTERESTS}"
        )));
    }
    interests.iter().try_for_each(|interest| match interest {
        Interest::Topic(topic) => check_name(&topic.name),
        Interest::Pattern(name) | Interest::Stream { name, .. } => check_name(name),
    })
}

/// Checks an entry of a stream.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) if it has no field.
pub fn check_entry(entry: &Entry) -> Result<(), Error> {
    match entry.fields.is_empty() {
        true => Err(bad("an entry of a stream needs a field")),
        false => Ok(()),
    }
}
