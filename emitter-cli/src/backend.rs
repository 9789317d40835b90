//! From a broker's URL to the manager that speaks to it: the only place that knows which backends there are.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[cfg(feature = "amqp")]
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::backend::url;
use manager_api::{ClientManager, Emitter, Error, ErrorKind, ManagerOptions};
#[cfg(feature = "kafka")]
use manager_kafka::{KafkaManager, KafkaOptions};
use manager_redis::{RedisManager, RedisOptions};

use crate::failure::{Failure, HINT};
use crate::output;

#[cfg(test)]
mod secrets;

/// How long the broker may leave a command waiting before the user is told why.
const HINT_AFTER: Duration = Duration::from_millis(500);

/// Makes a manager from a URL; it connects on first use.
type Connect = fn(&str, ManagerOptions) -> Result<Arc<dyn ClientManager>, Error>;

/// Every scheme that [`connector`] knows, for the message about one it does not.
const SCHEMES: &[&[&str]] = &[
    RedisManager::SCHEMES,
    #[cfg(feature = "amqp")]
    AmqpManager::SCHEMES,
    #[cfg(feature = "kafka")]
    KafkaManager::SCHEMES,
];

/// Schemes that a feature of the crate brings, for the message about one that was left out.
const FEATURES: &[(&str, &str)] = &[("amqp", "amqp"), ("amqps", "amqp"), ("kafka", "kafka")];

/// The backend for a scheme. A further backend is one arm here, and its schemes in the list above.
fn connector(scheme: &str) -> Option<Connect> {
    match scheme {
        redis if RedisManager::SCHEMES.contains(&redis) => Some(|url, common| {
            let options = RedisOptions {
                common,
                ..RedisOptions::default()
            };
            Ok(Arc::new(RedisManager::new(url, options)?))
        }),
        #[cfg(feature = "amqp")]
        amqp if AmqpManager::SCHEMES.contains(&amqp) => Some(|url, common| {
            let options = AmqpOptions {
                common,
                ..AmqpOptions::default()
            };
            Ok(Arc::new(AmqpManager::new(url, options)?))
        }),
        #[cfg(feature = "kafka")]
        kafka if KafkaManager::SCHEMES.contains(&kafka) => Some(|url, common| {
            let options = KafkaOptions {
                common,
                ..KafkaOptions::default()
            };
            Ok(Arc::new(KafkaManager::new(url, options)?))
        }),
        _ => None,
    }
}

/// The URL of a broker whose scheme is known. Shown without its password.
#[derive(Clone)]
pub(crate) struct BrokerUrl {
    url: String,
    connect: Connect,
}

impl BrokerUrl {
    /// Takes a URL.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`] with the known schemes if this is none of them.
    pub(crate) fn parse(url: &str) -> Result<BrokerUrl, Failure> {
        let known = SCHEMES.concat().join(", ");
        let Some(scheme) = scheme(url) else {
            let text =
                format!("the broker's URL has no scheme; write one such as redis://HOST:PORT (known are {known})");
            return Err(Failure::input(text));
        };
        match connector(&scheme) {
            Some(connect) => Ok(BrokerUrl {
                url: url.to_owned(),
                connect,
            }),
            None => Err(Failure::input(unknown(&scheme, &known))),
        }
    }

    /// Makes the manager.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`] if the manager cannot use the rest of the URL.
    pub(crate) fn backend(&self, options: ManagerOptions) -> Result<Backend, Failure> {
        let manager = (self.connect)(&self.url, options);
        let manager = manager.map_err(|error| Failure::of(error, format!("cannot use {self}")))?;
        Ok(Backend {
            url: self.clone(),
            manager,
            is_told: AtomicBool::new(false),
        })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&url::shown(&self.url), f)
    }
}

/// The brokers that this build knows, for `--version`: a line each, with the schemes of their URLs.
pub(crate) fn brokers() -> String {
    let known: &[(&str, &[&str])] = &[
        ("Redis and Valkey", RedisManager::SCHEMES),
        #[cfg(feature = "amqp")]
        ("RabbitMQ", AmqpManager::SCHEMES),
        #[cfg(feature = "kafka")]
        ("Apache Kafka", KafkaManager::SCHEMES),
    ];
    let lines = known
        .iter()
        .map(|(name, schemes)| format!("{name}: {}", schemes.join(", ")));
    lines.collect::<Vec<_>>().join("\n")
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A manager, and the address by which errors name it.
pub(crate) struct Backend {
    pub(crate) url: BrokerUrl,
    pub(crate) manager: Arc<dyn ClientManager>,
    /// The user knows that there is no broker, and what may help.
    is_told: AtomicBool,
}

impl Backend {
    /// An emitter over the manager.
    pub(crate) fn emitter(&self) -> Emitter {
        Emitter::from_arc(Arc::clone(&self.manager))
    }

    /// What an error of the manager means for the command: what was attempted, and where.
    pub(crate) fn failure(&self, attempt: &str, error: Error) -> Failure {
        let may_be_absent = !error.is_refusal() && matches!(error.kind(), ErrorKind::Connect | ErrorKind::Timeout);
        match Failure::of(error, format!("cannot {attempt} at {}", self.url)) {
            Failure::Broker(error)
                if may_be_absent && self.is_out_of_reach() && !self.is_told.load(Ordering::Relaxed) =>
            {
                Failure::OutOfReach(error)
            }
            failure => failure,
        }
    }

    /// Does work that needs the broker. If that leaves it waiting because there is no connection, the user learns so soon, and what may help;
    /// unless only errors are wanted.
    ///
    /// # Cancel safety
    ///
    /// As that of the work.
    pub(crate) async fn explaining<T>(&self, quiet: bool, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(HINT_AFTER) => {}
        }
        let is_failing = self.manager.health().last_error.is_some() && self.is_out_of_reach();
        if is_failing && !quiet && !self.is_told.swap(true, Ordering::Relaxed) {
            output::tell(&format!("sio: no connection to {} yet, trying on; {HINT}", self.url));
        }
        work.await
    }

    /// Tells whether no broker answers, as far as the manager knows. A broker that refuses is there.
    fn is_out_of_reach(&self) -> bool {
        let health = self.manager.health();
        health.num_refusals == 0 && health.publishing_since.is_none() && health.listening_since.is_none()
    }
}

fn unknown(scheme: &str, known: &str) -> String {
    match FEATURES.iter().find(|(of_feature, _)| *of_feature == scheme) {
        Some((_, feature)) => format!(
            "this sio was built without the feature {feature:?}, which {scheme}:// needs (cargo install --features {feature}); \
             known are {known}"
        ),
        None => format!("unknown broker scheme {scheme:?}; known are {known}"),
    }
}

fn scheme(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once(':')?;
    let is_scheme = !scheme.is_empty()
        && scheme
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    (is_scheme && url[scheme.len()..].starts_with("://")).then(|| scheme.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("redis://127.0.0.1:7379", "redis://127.0.0.1:7379"),
            ("redis://me:secret@h:1/2", "redis://h:1/2"),
            ("rediss://:sec@ret@h:1", "rediss://h:1"),
            ("redis://:sec/ret@h:1", "redis://…"),
            ("redis://:hunter2#!@host", "redis://…"),
            ("redis://u:12?cret@host", "redis://…"),
            ("redis://h:1?password=secret", "redis://h:1"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
            #[cfg(feature = "amqp")]
            ("amqp://me:secret@h:1//", "amqp://h:1//"),
            #[cfg(feature = "kafka")]
            ("kafka://h1:1,h2?sasl.password=secret", "kafka://h1:1,h2"),
            ("REDIS+SENTINEL://me:secret@a,b/main", "REDIS+SENTINEL://a,b/main"),
        ] {
            assert_eq!(BrokerUrl::parse(url).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn every_scheme_that_is_offered_is_known() {
        assert!(SCHEMES.concat().iter().all(|scheme| connector(scheme).is_some()));
        assert!(connector("http").is_none());
    }

    #[test]
    fn a_scheme_is_known_or_the_feature_it_needs_is_named() {
        for (scheme, feature) in FEATURES {
            match BrokerUrl::parse(&format!("{scheme}://h")) {
                Ok(_) => assert!(connector(scheme).is_some()),
                Err(failure) => {
                    let said = failure.to_string();
                    assert!(said.contains(&format!("--features {feature}")), "{said}");
                    assert_eq!(failure.code(), 2);
                }
            }
        }
        #[cfg(not(feature = "kafka"))]
        assert!(BrokerUrl::parse("kafka://h").is_err());
        #[cfg(feature = "kafka")]
        assert!(BrokerUrl::parse("kafka://h").is_ok());
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_quoted() {
        for url in ["", "localhost", "localhost:6379", ":secret@h", "://h"] {
            let said = BrokerUrl::parse(url).unwrap_err().to_string();
            assert!(
                said.contains("redis://HOST:PORT") && !said.contains("secret"),
                "{url}: {said}"
            );
        }
    }
}
