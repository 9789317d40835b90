//! What the values of metrics are read from.

use manager_api::Health as ManagerHealth;
use socket_io::metrics::Metrics;

use crate::health::Health;

/// The counters and the health of a server at one moment.
#[derive(Debug)]
pub(super) struct View {
    pub(super) server: Metrics,
    /// Zeroes without a manager.
    pub(super) manager: ManagerHealth,
    pub(super) is_ready: bool,
    pub(super) is_live: bool,
}

impl View {
    pub(super) fn of(health: &Health) -> Self {
        Self {
            server: health.io().metrics(),
            manager: health.io().health().unwrap_or_default(),
            is_ready: health.check_ready().is_ok(),
            is_live: health.check_live().is_ok(),
        }
    }
}
