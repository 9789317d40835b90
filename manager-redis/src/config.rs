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
    /// The stream that carries the messages in place of publish/subscribe, so that they are kept for a while. Default none;
    /// a URL with `+stream` in its scheme has the default one.
    pub log: Option<StreamLog>,
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
            log: None,
            tls: TlsOptions::default(),
            sentinel: SentinelOptions::default(),
        }
    }
}

/// How much a stream keeps that carries the messages of a channel: see [`RedisManager::new`](crate::RedisManager::new).
#[derive(Clone, Debug)]
pub struct StreamLog {
    /// The number of messages to which each publish trims the stream, approximately: Redis keeps up to a hundred more.
    /// Default 100,000; zero counts as one.
    pub max_len: u64,
    /// The age beyond which subscribers trim it, by the clock of the server. Needs Redis 6.2. Default 10 min; zero never
    /// trims by age.
    pub max_age: Duration,
    /// The interval at which a subscriber does so. Default 10 s.
    pub trim_interval: Duration,
}

impl Default for StreamLog {
    fn default() -> Self {
        Self {
            max_len: 100_000,
            max_age: Duration::from_secs(600),
            trim_interval: Duration::from_secs(10),
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
