//! The options of a [`RedisManager`](crate::RedisManager).

use std::fmt;
use std::time::Duration;

use manager_api::ManagerOptions;
use manager_api::backend::TlsOptions;

/// The options of a [`RedisManager`](crate::RedisManager): connections and limits.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// The options of every manager: channel, deadline, limits, back-off.
    pub common: ManagerOptions,
    /// The limit of one attempt to connect, login included. Default 5 s.
    pub connect_timeout: Duration,
    /// The time without input after which a connection sends a keep-alive. A busy connection requests its
    /// server's role as often, a publishing one at least every second. Default 10 s; zero disables both.
    pub keepalive_interval: Duration,
    /// The time without the reply to a command after which a connection counts as dead and is replaced.
    /// Default 10 s.
    pub keepalive_timeout: Duration,
    /// The maximum number of publishes sent and not yet answered, on the one publishing connection.
    /// Default 16,384; zero counts as one.
    pub max_unanswered: usize,
    /// The files of TLS, for URLs with TLS.
    pub tls: TlsOptions,
    /// The login at the sentinels, for URLs that name sentinels; `user:password@` in the URL is for the data
    /// nodes. `?sentinel_username=` and `?sentinel_password=` in the URL take precedence.
    pub sentinel: SentinelOptions,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            common: ManagerOptions::default(),
            connect_timeout: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(10),
            max_unanswered: 16_384,
            tls: TlsOptions::default(),
            sentinel: SentinelOptions::default(),
        }
    }
}

/// The login at the sentinels.
#[derive(Clone, Default)]
pub struct SentinelOptions {
    /// The user. Default none: Redis' `default` user.
    pub username: Option<String>,
    /// The password. Default none: no login.
    pub password: Option<String>,
}

impl fmt::Debug for SentinelOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("SentinelOptions");
        debug.field("username", &self.username);
        debug.field("password", &self.password.as_ref().map(|_| "***")).finish()
    }
}
