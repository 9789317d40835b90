//! Why a record becomes a dead letter.

use std::fmt;
use std::sync::Arc;

use manager_api::{Error, ErrorKind};

use crate::mapping::Unmapped;

/// Why a record becomes a dead letter.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// It cannot be mapped.
    Unmapped(Unmapped),
    /// Its event cannot be sent.
    Refused(Arc<Error>),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmapped(why) => write!(f, "the record cannot be mapped: {why}"),
            Self::Refused(error) => write!(f, "the event cannot be sent: {error}"),
        }
    }
}

/// Returns whether an error is about this event, and another one may be accepted.
pub(super) fn is_about_the_record(error: &Error) -> bool {
    let is_kind = matches!(
        error.kind(),
        ErrorKind::TooLarge | ErrorKind::Config | ErrorKind::Malformed
    );
    is_kind && !error.is_refusal()
}
