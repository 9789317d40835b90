//! From a broker's URL to the manager that speaks to it.

use std::sync::Arc;

use manager_api::{ClientManager, Error, ManagerOptions};

use crate::brokers;
#[cfg(any(feature = "redis", feature = "amqp", feature = "kafka", feature = "postgres"))]
use crate::brokers::Kind;

/// How to use a broker, whichever the URL names.
///
/// `common` holds what every manager has; the other fields hold what only one kind of broker has, and count only if the URL names that one.
/// [`ManagerOptions`] alone can be given in its place.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use siokit::ConnectOptions;
/// use siokit::manager::ManagerOptions;
///
/// let options = ConnectOptions {
///     common: ManagerOptions { channel: "chat".into(), deadline: Duration::from_secs(3), ..Default::default() },
///     ..Default::default()
/// };
/// let manager = siokit::connect_with("redis://localhost:6379", options)?;
/// # Ok::<(), siokit::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// Channel, deadline, limits, reconnect. Its defaults are those of [`ManagerOptions`].
    pub common: ManagerOptions,
    /// For Redis and Valkey; its own `common` is replaced.
    #[cfg(feature = "redis")]
    pub redis: manager_redis::RedisOptions,
    /// For RabbitMQ; its own `common` is replaced.
    #[cfg(feature = "amqp")]
    pub amqp: manager_amqp::AmqpOptions,
    /// For Apache Kafka; its own `common` is replaced.
    #[cfg(feature = "kafka")]
    pub kafka: manager_kafka::KafkaOptions,
    /// For PostgreSQL; its own `common` is replaced.
    #[cfg(feature = "postgres")]
    pub postgres: manager_postgres::PostgresOptions,
}

impl From<ManagerOptions> for ConnectOptions {
    fn from(common: ManagerOptions) -> Self {
        // Without a broker there is no other field.
        #[allow(clippy::needless_update, reason = "only without the feature of a broker")]
        Self {
            common,
            ..Self::default()
        }
    }
}

/// Makes a manager for the broker that a URL names, with the defaults of [`ConnectOptions`]. It connects on first use.
///
/// | URL | broker | feature |
/// |---|---|---|
/// | `redis://[user:password@]host[:port]`, with TLS `rediss://`; `unix:///path` | Redis | `redis` |
/// | `valkey://`, with TLS `valkeys://` | Valkey | `redis` |
/// | `redis+sentinel://host,…/service`, `redis+cluster://host,…` | Redis behind Sentinel, Redis Cluster | `redis` |
/// | `redis+stream://host`, `redis+cluster+stream://host,…` | Redis with a stream in place of publish/subscribe | `redis` |
/// | `amqp://[user:password@]host[:port][/vhost]`, with TLS `amqps://` | RabbitMQ | `amqp` |
/// | `kafka://host[:port],…[?property=value…]` | Apache Kafka | `kafka` |
/// | `postgres://[user:password@]host[:port],…[/database]`, with TLS `?sslmode=require` | PostgreSQL | `postgres` |
///
/// The constructors of the managers describe the rest of their URLs.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config), before anything is connected: the URL cannot be used, its scheme is unknown (the known ones are named),
/// or the feature of its scheme is off (the feature is named). No error repeats a password.
///
/// # Examples
///
/// ```
/// use siokit::Emitter;
///
/// let emitter = Emitter::new(siokit::connect("redis://localhost:6379")?);
/// # Ok::<(), siokit::Error>(())
/// ```
pub fn connect(url: &str) -> Result<Arc<dyn ClientManager>, Error> {
    connect_with(url, ConnectOptions::default())
}

/// Makes a manager for the broker that a URL names. It connects on first use.
///
/// # Errors
///
/// As [`connect`], and [`Config`](crate::ErrorKind::Config) for an option that cannot be used.
pub fn connect_with(url: &str, options: impl Into<ConnectOptions>) -> Result<Arc<dyn ClientManager>, Error> {
    let broker = brokers::of(url)?;
    #[allow(unused_variables, reason = "without a broker nothing is made")]
    let options = options.into();
    match broker.kind {
        #[cfg(feature = "redis")]
        Kind::Redis => {
            let mut redis = options.redis;
            redis.common = options.common;
            Ok(Arc::new(manager_redis::RedisManager::new(url, redis)?))
        }
        #[cfg(feature = "amqp")]
        Kind::Amqp => {
            let mut amqp = options.amqp;
            amqp.common = options.common;
            Ok(Arc::new(manager_amqp::AmqpManager::new(url, amqp)?))
        }
        #[cfg(feature = "kafka")]
        Kind::Kafka => {
            let mut kafka = options.kafka;
            kafka.common = options.common;
            Ok(Arc::new(manager_kafka::KafkaManager::new(url, kafka)?))
        }
        #[cfg(feature = "postgres")]
        Kind::Postgres => {
            let mut postgres = options.postgres;
            postgres.common = options.common;
            Ok(Arc::new(manager_postgres::PostgresManager::new(url, postgres)?))
        }
        #[allow(unreachable_patterns, reason = "with every feature there is no other")]
        _ => unreachable!("a broker whose feature is off is refused by its scheme"),
    }
}
