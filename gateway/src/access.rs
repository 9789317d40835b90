//! Access by token: who may connect, which rooms a client may join and publish to, and for how
//! long.
//!
//! A client shows a JWT when it connects. [`Access`] checks signature, expiry, issuer and audience;
//! the claims say what the client may do: its [`Grants`]. Keys can be exchanged while the server
//! runs.
//!
//! ```
//! use gateway::access::{Access, AccessConfig, Key, Keys};
//! use socket_io::SocketIo;
//!
//! # fn example() -> Result<(), gateway::access::KeyError> {
//! let keys = Keys::new([Key::secret("at least 32 bytes that only the issuer knows")?])?;
//! let access = Access::new(&keys, AccessConfig::default())?;
//!
//! let io = SocketIo::new();
//! // Only clients with a good token, which join and publish as it says.
//! access.protect(&io.namespace("/")).rooms(&io.namespace("/"));
//! # Ok(())
//! # }
//! # example().unwrap();
//! ```
//!
//! `docs/access.md` in the repository is for those who make the tokens.

mod admit;
mod attempts;
mod config;
mod expiry;
mod fault;
mod grants;
mod jwks;
mod key;
mod pattern;
mod provider;
mod rooms;
mod sign;
#[cfg(test)]
pub(crate) mod tests;
mod verify;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use manager_api::lock::Unpoisoned;

use attempts::Attempts;
pub use config::{AccessConfig, AccessLimits};
pub(crate) use expiry::EXPIRED;
use expiry::Expiries;
pub use fault::{KeyError, TokenFault};
pub use grants::Grants;
pub use jsonwebtoken::Algorithm;
pub use key::{Key, Keys};
pub use pattern::Pattern;
pub use sign::SigningKey;
pub use verify::{Verified, Verifier};

/// Admission to the namespaces of a server by token. Cloning is cheap; clones are the same.
#[derive(Clone, Debug)]
pub struct Access {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    verifier: RwLock<Arc<Verifier>>,
    attempts: Attempts,
    expiries: Arc<Expiries>,
    counts: Counts,
}

impl Access {
    /// Checks tokens with these keys.
    ///
    /// # Errors
    ///
    /// [`KeyError::Config`] if the configuration cannot be used.
    pub fn new(keys: &Keys, config: AccessConfig) -> Result<Self, KeyError> {
        let attempts = Attempts::new(&config.limits);
        let verifier = Verifier::new(keys, config)?;
        Ok(Self {
            inner: Arc::new(Inner {
                verifier: RwLock::new(Arc::new(verifier)),
                attempts,
                expiries: Arc::default(),
                counts: Counts::default(),
            }),
        })
    }

    /// Checks tokens with other keys from now on. Clients that are connected stay until their
    /// tokens expire.
    pub fn set_keys(&self, keys: &Keys) {
        let verifier = Verifier::over(keys, self.verifier().config().clone());
        *self.inner.verifier.write().unpoisoned() = Arc::new(verifier);
    }

    /// Returns what tokens are checked with now.
    pub fn verifier(&self) -> Arc<Verifier> {
        self.inner.verifier.read().unpoisoned().clone()
    }

    /// Returns the counters as they stand.
    pub fn metrics(&self) -> AccessMetrics {
        let counts = &self.inner.counts;
        AccessMetrics {
            accepted: counts.accepted.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
            limited: counts.limited.load(Ordering::Relaxed),
            refreshed: counts.refreshed.load(Ordering::Relaxed),
            expired: self.inner.expiries.num_closed(),
        }
    }

    /// Returns the event by which clients hand in a new token.
    fn refresh_event(&self) -> String {
        self.verifier().config().refresh_event.clone()
    }
}

/// Counters of an [`Access`], since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessMetrics {
    /// Clients whose token was good when they connected.
    pub accepted: u64,
    /// Tokens that were refused, at a connect or a refresh.
    pub refused: u64,
    /// Attempts that were refused without a look at the token, because too many of the address were
    /// refused.
    pub limited: u64,
    /// Tokens that clients have refreshed.
    pub refreshed: u64,
    /// Clients that were closed because their token had expired.
    pub expired: u64,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
    limited: AtomicU64,
    refreshed: AtomicU64,
}

impl Counts {
    /// Counts a client that was accepted.
    fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a token that was refused.
    fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an attempt without a look at the token.
    fn limited(&self) {
        self.limited.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a token that was refreshed.
    fn refreshed(&self) {
        self.refreshed.fetch_add(1, Ordering::Relaxed);
    }
}
