//! The brokers, by the schemes of their URLs.
//!
//! ```
//! let broker = siokit::brokers::of("redis://me:secret@localhost")?;
//! assert_eq!((broker.name, broker.feature), ("Redis and Valkey", "redis"));
//!
//! let error = siokit::brokers::of("mqtt://localhost").unwrap_err();
//! assert!(error.to_string().starts_with("unknown scheme \"mqtt\" of a broker's URL; known are redis, "));
//! # Ok::<(), siokit::Error>(())
//! ```

use manager_api::{Error, ErrorKind};

/// The longest scheme that is repeated in an error, in bytes: that of a URL that is not one may be part of a secret.
const MAX_SCHEME_BYTES: usize = 32;

/// A kind of broker.
#[derive(Debug)]
#[non_exhaustive]
pub struct Broker {
    /// Its name, for people.
    pub name: &'static str,
    /// The schemes of its URLs, in lower case, without `://`.
    pub schemes: &'static [&'static str],
    /// The feature of this crate that brings it.
    pub feature: &'static str,
    /// Whether that feature is on.
    pub is_available: bool,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Redis,
    Amqp,
    Kafka,
    Postgres,
}

/// A further broker is an entry here, and an arm in `connect.rs`.
const ALL: &[Broker] = &[
    Broker {
        name: "Redis and Valkey",
        schemes: &[
            "redis",
            "rediss",
            "valkey",
            "valkeys",
            "unix",
            "redis+unix",
            "valkey+unix",
            "redis+sentinel",
            "rediss+sentinel",
            "valkey+sentinel",
            "valkeys+sentinel",
            "redis+cluster",
            "rediss+cluster",
            "valkey+cluster",
            "valkeys+cluster",
            "redis+stream",
            "rediss+stream",
            "valkey+stream",
            "valkeys+stream",
            "redis+unix+stream",
            "redis+sentinel+stream",
            "rediss+sentinel+stream",
            "valkey+unix+stream",
            "valkey+sentinel+stream",
            "valkeys+sentinel+stream",
            "redis+cluster+stream",
            "rediss+cluster+stream",
            "valkey+cluster+stream",
            "valkeys+cluster+stream",
        ],
        feature: "redis",
        is_available: cfg!(feature = "redis"),
        kind: Kind::Redis,
    },
    Broker {
        name: "RabbitMQ",
        schemes: &["amqp", "amqps"],
        feature: "amqp",
        is_available: cfg!(feature = "amqp"),
        kind: Kind::Amqp,
    },
    Broker {
        name: "Apache Kafka",
        schemes: &["kafka"],
        feature: "kafka",
        is_available: cfg!(feature = "kafka"),
        kind: Kind::Kafka,
    },
    Broker {
        name: "PostgreSQL",
        schemes: &["postgres", "postgresql"],
        feature: "postgres",
        is_available: cfg!(feature = "postgres"),
        kind: Kind::Postgres,
    },
];

/// Returns every broker that this crate knows, those whose feature is off included.
pub fn all() -> &'static [Broker] {
    ALL
}

/// Returns the broker that a URL names by its scheme, in any case. The rest of the URL is not looked at.
///
/// # Errors
///
/// [`Config`](ErrorKind::Config) if there is no scheme, with an example of one; if the scheme is unknown, with those that are known; if its
/// feature is off, with the name of the feature. Nothing of the URL is repeated but its scheme.
pub fn of(url: &str) -> Result<&'static Broker, Error> {
    let Some(scheme) = scheme(url) else {
        let example = "the broker's URL has no scheme; write one such as redis://HOST:PORT";
        return Err(refused(&format!("{example} ({})", known())));
    };
    let broker = ALL.iter().find(|broker| broker.schemes.contains(&scheme.as_str()));
    match broker {
        Some(broker) if broker.is_available => Ok(broker),
        Some(Broker { feature, .. }) => Err(refused(&format!(
            "{scheme}:// needs the feature {feature:?}, which this program was built without (--features {feature}); {}",
            known()
        ))),
        None => Err(refused(&format!(
            "unknown scheme {scheme:?} of a broker's URL; {}",
            known()
        ))),
    }
}

fn refused(text: &str) -> Error {
    Error::new(ErrorKind::Config, text)
}

/// The schemes of this build, for people.
fn known() -> String {
    let available = ALL.iter().filter(|broker| broker.is_available);
    let schemes: Vec<_> = available.flat_map(|broker| broker.schemes).copied().collect();
    match schemes[..] {
        [] => "this program was built without any broker: turn on one of the features redis, amqp, kafka, postgres"
            .to_owned(),
        _ => format!("known are {}", schemes.join(", ")),
    }
}

/// What stands before `://`, in lower case, if it can be a scheme.
fn scheme(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once("://")?;
    let is_scheme = (1..=MAX_SCHEME_BYTES).contains(&scheme.len())
        && scheme
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    is_scheme.then(|| scheme.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemes_are_those_of_the_managers() {
        for broker in ALL {
            let of_manager: Option<&[&str]> = match broker.kind {
                #[cfg(feature = "redis")]
                Kind::Redis => Some(manager_redis::RedisManager::SCHEMES),
                #[cfg(feature = "amqp")]
                Kind::Amqp => Some(manager_amqp::AmqpManager::SCHEMES),
                #[cfg(feature = "kafka")]
                Kind::Kafka => Some(manager_kafka::KafkaManager::SCHEMES),
                #[cfg(feature = "postgres")]
                Kind::Postgres => Some(manager_postgres::PostgresManager::SCHEMES),
                #[allow(unreachable_patterns, reason = "with every feature there is no other")]
                _ => None,
            };
            assert_eq!(of_manager.is_some(), broker.is_available, "{}", broker.name);
            assert!(
                of_manager.is_none_or(|schemes| schemes == broker.schemes),
                "{}",
                broker.name
            );
        }
    }

    #[test]
    fn a_scheme_is_known_or_the_feature_it_needs_is_named() {
        for broker in ALL {
            for scheme in broker.schemes {
                let found = of(&format!("{}://h", scheme.to_uppercase()));
                assert_eq!(found.is_ok(), broker.is_available, "{scheme}");
                let Err(error) = found else { continue };
                assert_eq!(error.kind(), ErrorKind::Config);
                let expected = format!("{scheme}:// needs the feature {:?}", broker.feature);
                assert!(error.to_string().contains(&expected), "{error}");
            }
        }
    }

    #[test]
    fn an_unknown_scheme_names_the_known_ones_and_nothing_else_of_the_url() {
        let error = of("mqtt://me:secret@h").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let said = error.to_string();
        assert!(said.contains("\"mqtt\"") && !said.contains("secret"), "{said}");
        for broker in ALL.iter().filter(|broker| broker.is_available) {
            assert!(broker.schemes.iter().all(|scheme| said.contains(scheme)), "{said}");
        }
    }

    #[test]
    fn text_without_a_scheme_is_refused_without_being_quoted() {
        let long = format!("{}://h", "secret".repeat(10));
        for url in ["", "secret", "secret:6379", ":secret@h", "://h", "se cret://h", &long] {
            let said = of(url).unwrap_err().to_string();
            assert!(
                said.contains("redis://HOST:PORT") && !said.contains("secret"),
                "{url}: {said}"
            );
        }
    }
}
