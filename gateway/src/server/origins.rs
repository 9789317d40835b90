//! The origins whose pages may connect, which may change while the server runs.

use std::sync::{Arc, PoisonError, RwLock};

use socket_io::config::{AllowedOrigins, EngineConfig};

use crate::config::Problem;

/// A list of origins beside the server's own, whose page would not work otherwise; `*` is every origin. Clones share the list.
///
/// ```
/// use gateway::server::Origins;
///
/// let origins = Origins::new(&["https://app.example".to_owned()])?;
/// let io = socket_io::SocketIo::builder()
///     .configure(|config| config.engine.cors_allowed_origins = origins.allowed())
///     .build();
/// origins.replace(&["https://new.example".to_owned()])?; // holds from now on
/// # Ok::<(), gateway::config::Problem>(())
/// ```
#[derive(Clone, Debug)]
pub struct Origins(Arc<RwLock<Vec<String>>>);

impl Origins {
    /// Starts with a list.
    ///
    /// # Errors
    ///
    /// If no browser sends such an origin: it must be a scheme, `://`, a host, and a port if that is not the scheme's.
    pub fn new(list: &[String]) -> Result<Self, Problem> {
        check(list)?;
        Ok(Self(Arc::new(RwLock::new(list.to_vec()))))
    }

    /// Replaces the list, for requests from now on. Clients that are connected stay.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); the list stays as it is.
    pub fn replace(&self, list: &[String]) -> Result<(), Problem> {
        check(list)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = list.to_vec();
        Ok(())
    }

    /// Returns the setting for an engine.
    pub fn allowed(&self) -> AllowedOrigins {
        let list = self.0.clone();
        AllowedOrigins::matching(move |origin, request| {
            let list = list.read().unwrap_or_else(PoisonError::into_inner);
            let is_listed = |each: &String| each == "*" || each.eq_ignore_ascii_case(origin);
            list.iter().any(is_listed) || AllowedOrigins::is_same_origin(origin, request)
        })
    }
}

/// Checks that the origins are such as browsers send, or `*`.
fn check(list: &[String]) -> Result<(), Problem> {
    let named: Vec<String> = list.iter().filter(|origin| *origin != "*").cloned().collect();
    let config = EngineConfig {
        cors_allowed_origins: named.into(),
        ..Default::default()
    };
    config.validate().map_err(|error| Problem::of("origins", error))
}
