//! The reason why an argument of a handler cannot be had.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// Says why an argument of a handler cannot be had.
///
/// It is logged as it displays, which must quote nothing that the client sent; what does is its [source](std::error::Error::source), and
/// logged at the level `trace` only.
#[derive(Clone, Debug)]
pub struct Rejection {
    reason: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Rejection {
    /// Makes a rejection that says why, without quoting the client.
    pub fn new(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { reason, source: None }
    }

    /// Adds the error that led to it, which may quote the client.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl StdError for Rejection {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}
