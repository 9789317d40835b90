//! Options.

use std::fmt;
use std::time::Duration;

use manager_api::ManagerOptions;
use manager_api::backend::TlsOptions;

/// How a [`RedisManager`](crate::RedisManager) connects and what its limits are.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// What every manager has: channel, deadline, limits, back-off.
    pub common: ManagerOptions,
    /// The longest that one attempt to connect may take, login included. Default 5 s.
    pub connect_timeout: Duration,
    /// A connection on which nothing was received for this long is asked for a sign of life, and one that is busy, as often, whether its server
    /// is a master still; a publishing one every second at least. Default 10 s; zero never asks.
    pub keepalive_interval: Duration,
    /// A connection that owes an answer for this long counts as dead and is replaced. Default 10 s.
    pub keepalive_timeout: Duration,
    /// Publishes sent and not yet answered, on the one publishing connection. Default 16,384; zero counts as one.
    pub max_unanswered: usize,
    /// TLS, for URLs that ask for it.
    pub tls: TlsOptions,
    /// Credentials of the sentinels, for URLs that name sentinels; `user:password@` in the URL is for the data nodes. `?sentinel_username=` and
    /// `?sentinel_password=` in the URL take precedence.
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

/// How to log in to the sentinels themselves.
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
