//! The HTTP API: publishes, disconnects and inspects for programs in any language.
//!
//! | request | does |
//! |---|---|
//! | `POST /api/emit` | emits an event, or a list of events, to rooms or to all clients |
//! | `POST /api/disconnect` | disconnects a client, the clients in rooms, or all |
//! | `GET /api/rooms` | lists rooms with the numbers of their clients, on every server |
//! | `GET /api/who` | lists the clients in rooms, on every server |
//! | `GET /api/openapi.json` | describes all of this, as [OpenAPI 3.1](OPENAPI) |
//!
//! Each but the last needs a key: `Authorization: Bearer KEY`. Errors are
//! `application/problem+json` (RFC 9457) with a `code`, and where that is known the `field` that is
//! wrong.
//!
//! It works over a server, whose own clients then get events before the broker has them, or over an
//! [`Emitter`](manager_api::Emitter), in a process without clients.
//!
//! ```
//! use gateway::api::{Api, ApiConfig, ApiKey};
//! use socket_io::SocketIo;
//!
//! # fn example() -> Result<(), gateway::api::ApiKeyError> {
//! let io = SocketIo::new();
//! let key = ApiKey::new("at-least-32-bytes-that-only-the-workers-know")?;
//! let api = Api::new(io.clone(), [key], ApiConfig::default());
//! // Beside Socket.IO on the same address; a listener of its own serves `api.service()`.
//! let app: axum::Router = axum::Router::new().layer(api.layer()).layer(io.layer());
//! # Ok(())
//! # }
//! # example().unwrap();
//! ```

mod body;
mod config;
mod data;
mod disconnect;
mod emit;
mod fields;
mod idempotency;
mod inspect;
mod key;
mod members;
mod problem;
mod route;
mod service;
mod target;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use manager_api::lock::Unpoisoned;
use tokio::sync::Semaphore;

pub use config::ApiConfig;
use key::KeyRing;
pub use key::{ApiKey, ApiKeyError, Operation};
pub use service::{ApiLayer, ApiService, Body, WithApi};
pub use target::Target;

/// The description of the API in OpenAPI 3.1, as it is served.
pub const OPENAPI: &str = include_str!("api/openapi.json");

/// The HTTP API over a server or an emitter. Cloning is cheap; clones are the same.
#[derive(Clone, Debug)]
pub struct Api {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    target: Target,
    config: ApiConfig,
    keys: RwLock<Arc<KeyRing>>,
    at_work: Semaphore,
    counts: Counts,
}

impl Api {
    /// Makes the API for those who have one of the keys. Without any key every request is refused.
    pub fn new(target: impl Into<Target>, keys: impl IntoIterator<Item = ApiKey>, config: ApiConfig) -> Self {
        let at_work = Semaphore::new(config.max_requests.min(Semaphore::MAX_PERMITS));
        Self {
            inner: Arc::new(Inner {
                target: target.into(),
                config,
                keys: RwLock::new(Arc::new(KeyRing::new(keys))),
                at_work,
                counts: Counts::default(),
            }),
        }
    }

    /// Accepts other keys from now on. Requests at work are finished.
    pub fn set_keys(&self, keys: impl IntoIterator<Item = ApiKey>) {
        *self.inner.keys.write().unpoisoned() = Arc::new(KeyRing::new(keys));
    }

    /// Returns the counters as they stand.
    pub fn metrics(&self) -> ApiMetrics {
        let counts = &self.inner.counts;
        ApiMetrics {
            requests: counts.requests.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
            unauthorized: counts.unauthorized.load(Ordering::Relaxed),
            events: counts.events.load(Ordering::Relaxed),
        }
    }

    /// Returns the keys that are accepted now.
    fn keys(&self) -> Arc<KeyRing> {
        self.inner.keys.read().unpoisoned().clone()
    }
}

/// Counters of an [`Api`], since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiMetrics {
    /// Requests to a path of the API.
    pub requests: u64,
    /// Those that were answered with a problem.
    pub refused: u64,
    /// Those of them without a good key.
    pub unauthorized: u64,
    /// Events that were accepted by the broker.
    pub events: u64,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    refused: AtomicU64,
    unauthorized: AtomicU64,
    events: AtomicU64,
}
