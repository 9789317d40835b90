//! What the values of metrics are read from.

use manager_api::Health as ManagerHealth;
use socket_io::metrics::Metrics;

use super::observed::Observed;
use crate::access::{Access, AccessMetrics};
use crate::api::{Api, ApiMetrics};

/// The counters and the health of a server at one moment.
#[derive(Debug)]
pub(super) struct View {
    pub(super) server: Metrics,
    /// Zeroes without a manager.
    pub(super) manager: ManagerHealth,
    /// Zeroes without tokens.
    pub(super) tokens: AccessMetrics,
    /// Zeroes without the HTTP API.
    pub(super) api: ApiMetrics,
    pub(super) is_ready: bool,
    pub(super) is_live: bool,
}

impl View {
    pub(super) fn of(observed: &Observed) -> Self {
        let Observed { health, access, api } = observed;
        Self {
            server: health.io().metrics(),
            manager: health.io().health().unwrap_or_default(),
            tokens: access.as_ref().map(Access::metrics).unwrap_or_default(),
            api: api.as_ref().map(Api::metrics).unwrap_or_default(),
            is_ready: health.check_ready().is_ok(),
            is_live: health.check_live().is_ok(),
        }
    }
}
