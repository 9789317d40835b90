//! What an exporter reads.

use crate::access::Access;
use crate::api::Api;
use crate::health::Health;

/// A server whose metrics are read, with its tokens and its HTTP API where it has them. Cloning is cheap; clones are of the same
/// server.
///
/// ```
/// use gateway::access::{Access, AccessConfig, Key, Keys};
/// use gateway::health::Health;
/// use gateway::metrics::{Exporter, Observed};
/// use socket_io::SocketIo;
///
/// # fn example() -> Result<(), gateway::access::KeyError> {
/// let keys = Keys::new([Key::secret("at least 32 bytes that only the issuer knows")?])?;
/// let access = Access::new(&keys, AccessConfig::default())?;
/// let health = Health::new(SocketIo::new());
/// let exporter = Exporter::new(Observed::new(&health).access(&access));
/// assert!(exporter.render().contains("sio_tokens_refused_total 0"));
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Observed {
    pub(crate) health: Health,
    pub(crate) access: Option<Access>,
    pub(crate) api: Option<Api>,
}

impl Observed {
    /// A server alone: the counters of tokens and of the HTTP API are zero.
    pub fn new(health: &Health) -> Self {
        Self {
            health: health.clone(),
            access: None,
            api: None,
        }
    }

    /// Adds the counters of the tokens that protect it.
    pub fn access(mut self, access: &Access) -> Self {
        self.access = Some(access.clone());
        self
    }

    /// Adds the counters of the HTTP API over it.
    pub fn api(mut self, api: &Api) -> Self {
        self.api = Some(api.clone());
        self
    }
}

impl From<&Health> for Observed {
    fn from(health: &Health) -> Self {
        Self::new(health)
    }
}
