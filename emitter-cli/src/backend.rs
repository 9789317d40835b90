//! The broker of a command: its URL, its manager, and what their failures mean for the user.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use manager_api::backend::url;
#[cfg(feature = "redis")]
use manager_api::wire::Wire;
use manager_api::{ClientManager, Emitter, Error, ErrorKind};
use siokit::{ConnectOptions, brokers};

use crate::failure::Failure;
use crate::{log, output};

#[cfg(test)]
mod secrets;

/// What may help where no Redis answers: `sio serve` is one.
#[cfg(feature = "serve")]
const REDIS_HINT: &str = "is Redis running? `sio serve` starts a broker at redis://127.0.0.1:7379; name another with --url, SIO_URL or SIO_URL_FILE";
/// What may help where no other broker answers.
const HINT: &str = "is the broker running, and reachable from here? name another with --url, SIO_URL or SIO_URL_FILE";
/// The schemes of URLs that may lead to the broker of `sio serve`.
#[cfg(feature = "serve")]
const SERVED_SCHEMES: [&str; 2] = ["redis", "valkey"];
/// How long the broker may leave a command waiting before the user is told why.
const HINT_AFTER: Duration = Duration::from_millis(800);

/// The URL of a broker whose scheme is known. Shown without its password.
#[derive(Clone)]
pub(crate) struct BrokerUrl {
    url: String,
}

impl BrokerUrl {
    /// Takes a URL.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`] if its scheme is unknown, with the known ones, or if this build lacks the feature that it needs.
    pub(crate) fn parse(url: &str) -> Result<BrokerUrl, Failure> {
        brokers::of(url).map_err(|error| Failure::input(error.to_string()))?;
        Ok(BrokerUrl { url: url.to_owned() })
    }

    /// The feature that brings its broker.
    #[cfg(feature = "postgres")]
    pub(crate) fn feature(&self) -> &'static str {
        brokers::of(&self.url).map_or("", |broker| broker.feature)
    }

    /// The URL with its secrets, for what connects.
    #[cfg(feature = "postgres")]
    pub(crate) fn whole(&self) -> &str {
        &self.url
    }

    /// What may help where no broker answers.
    fn hint(&self) -> &'static str {
        #[cfg(feature = "serve")]
        if let Some((scheme, _)) = self.url.split_once("://")
            && SERVED_SCHEMES.iter().any(|served| served.eq_ignore_ascii_case(scheme))
        {
            return REDIS_HINT;
        }
        HINT
    }

    /// Tells whether it is shown as it is: without a login and parameters, which may be secrets.
    #[cfg(feature = "serve")]
    pub(crate) fn is_shown_whole(&self) -> bool {
        self.to_string() == self.url
    }

    /// Makes the manager.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`] if the manager cannot use the rest of the URL.
    pub(crate) fn backend(&self, options: impl Into<ConnectOptions>) -> Result<Backend, Failure> {
        let manager = siokit::connect_with(&self.url, options);
        let manager = manager.map_err(|error| Failure::of(error, format!("cannot use {self}")))?;
        Ok(Backend {
            url: self.clone(),
            emitter: Emitter::new(Arc::clone(&manager)),
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
    let known = brokers::all().iter().filter(|broker| broker.is_available);
    let lines = known.map(|broker| format!("{}: {}", broker.name, broker.schemes.join(", ")));
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
    emitter: Emitter,
    /// The user knows that there is no broker, and what may help.
    is_told: AtomicBool,
}

impl Backend {
    /// An emitter over the manager.
    pub(crate) fn emitter(&self) -> Emitter {
        self.emitter.clone()
    }

    /// Writes messages for servers of other software.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`] if the broker is not one that they can use.
    #[cfg(feature = "redis")]
    pub(crate) fn with_wire(mut self, wire: &dyn Wire) -> Result<Backend, Failure> {
        let emitter = Emitter::with_wire(Arc::clone(&self.manager), wire);
        self.emitter = emitter.map_err(|error| Failure::of(error, format!("cannot use {}", self.url)))?;
        Ok(self)
    }

    /// What an error of the manager means for the command: what was attempted, and where.
    pub(crate) fn failure(&self, attempt: &str, error: Error) -> Failure {
        let may_be_absent = !error.is_refusal() && matches!(error.kind(), ErrorKind::Connect | ErrorKind::Timeout);
        match Failure::of(error, format!("cannot {attempt} at {}", self.url)) {
            Failure::Broker(error)
                if may_be_absent && self.is_out_of_reach() && !self.is_told.load(Ordering::Relaxed) =>
            {
                Failure::OutOfReach(error, self.url.hint())
            }
            failure => failure,
        }
    }

    /// Does work that needs the broker. If that leaves it waiting because there is no connection, the user learns so soon, and what may help;
    /// unless only errors are wanted. Meanwhile managers do not warn: what they would say is told here, and by the command's failure.
    ///
    /// # Cancel safety
    ///
    /// As that of the work.
    pub(crate) async fn explaining<T>(&self, quiet: bool, work: impl Future<Output = T>) -> T {
        let _unheard = log::without_managers();
        let mut work = std::pin::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(HINT_AFTER) => {}
        }
        if let Some((_, cause)) = self.manager.health().last_error
            && self.is_out_of_reach()
            && !quiet
            && !self.is_told.swap(true, Ordering::Relaxed)
        {
            let (url, hint) = (&self.url, self.url.hint());
            output::tell(&format!("sio: no connection to {url} yet, trying on: {cause}; {hint}"));
        }
        work.await
    }

    /// Tells whether no broker answers, as far as the manager knows. A broker that refuses is there.
    fn is_out_of_reach(&self) -> bool {
        let health = self.manager.health();
        health.num_refusals == 0 && health.publishing_since.is_none() && health.listening_since.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "redis")]
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
    #[cfg(feature = "serve")]
    fn only_where_the_url_may_lead_to_it_sio_serve_is_proposed() {
        let known = brokers::all().iter().filter(|broker| broker.is_available);
        for scheme in known.flat_map(|broker| broker.schemes) {
            let hint = BrokerUrl::parse(&format!("{scheme}://h")).unwrap().hint();
            assert_eq!(
                hint.contains("sio serve"),
                matches!(*scheme, "redis" | "valkey"),
                "{scheme}: {hint}"
            );
            assert!(hint.contains("SIO_URL_FILE"), "{hint}");
        }
    }

    #[test]
    fn a_scheme_is_known_or_the_feature_it_needs_is_named() {
        for broker in brokers::all() {
            for scheme in broker.schemes {
                let parsed = BrokerUrl::parse(&format!("{scheme}://h"));
                assert_eq!(parsed.is_ok(), broker.is_available, "{scheme}");
                let Err(failure) = parsed else { continue };
                let said = failure.to_string();
                assert!(said.contains(&format!("--features {}", broker.feature)), "{said}");
                assert_eq!(failure.code(), 2);
            }
        }
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
