//! The configuration of the HTTP API.

use std::time::Duration;

/// The path and the limits of an [`Api`](super::Api).
///
/// Made by [`ApiConfig::default`], then changed field by field.
///
/// # Examples
///
/// ```
/// use gateway::api::ApiConfig;
///
/// let mut config = ApiConfig::default();
/// config.path = "/internal/events".to_owned();
/// config.max_body_bytes = 64 << 10;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ApiConfig {
    /// The path before `/emit` and the others, without a slash at its end. Default `/api`.
    pub path: String,
    /// The largest body of a request, in bytes; a larger one is refused with 413. Default 1 MiB.
    pub max_body_bytes: usize,
    /// The time in which a body must have come; 408 after that. Default 10 s.
    pub body_timeout: Duration,
    /// The most events in one request. Default 1,000.
    pub max_batch: usize,
    /// The most rooms and clients that one event may name. Default 1,000.
    pub max_names: usize,
    /// The time for emitting the events of one request; 504 after that, with the number of those
    /// that were accepted. Default 30 s.
    pub emit_timeout: Duration,
    /// The longest that servers may be waited for, for receipts and lists. A request chooses within
    /// it by `timeout`, in seconds. Default 30 s; unless the request chooses, 5 s.
    pub max_timeout: Duration,
    /// The requests with a good key that are at work at once; others are refused with 503. Default
    /// 64. With [`max_body_bytes`](Self::max_body_bytes) it limits the memory.
    pub max_requests: usize,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            path: "/api".to_owned(),
            max_body_bytes: 1 << 20,
            body_timeout: Duration::from_secs(10),
            max_batch: 1000,
            max_names: 1000,
            emit_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_secs(30),
            max_requests: 64,
        }
    }
}
