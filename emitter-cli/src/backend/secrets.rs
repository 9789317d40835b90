//! No part of a secret of a URL stands in anything that is said about it, however the URL is formed.

use std::fmt::Write as _;
use std::time::Duration;

use manager_api::ManagerOptions;

use siokit::brokers;

use super::BrokerUrl;

/// Two halves of a password: neither may be said, as a URL that is cut in the wrong place gives only one away.
const HALVES: [&str; 2] = ["hunter2", "sw0rdf1sh"];
/// What stands between them, raw or encoded.
const BETWEEN: &[&str] = &[
    "#", "?", "/", "@", ":", "&", "=", "%", ",", " ", "\n", "\\", "[", "]", "://", "#!", "?a=", "/1/", "@h:", "&db=",
    "%40", "%2F", "%0A", "%zz", "",
];

/// A generator of numbers with a fixed seed: the same URLs in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn password(&mut self) -> String {
        let [one, other] = HALVES;
        let (mut before, mut behind) = ("", "");
        if self.below(4) == 0 {
            (before, behind) = (self.one_of(BETWEEN), self.one_of(BETWEEN));
        }
        format!("{before}{one}{}{other}{behind}", self.one_of(BETWEEN))
    }

    fn url(&mut self, scheme: &str) -> String {
        let password = self.password();
        let host = self.one_of(&["127.0.0.1:1", "[::1]:1", "", "127.0.0.1:1,127.0.0.1:2", "127.0.0.1"]);
        let path = self.one_of(&["", "/", "/0", "/run/a.sock", "//", "/0/main"]);
        let name = self.one_of(&[
            "password",
            "sasl.password",
            "ssl.key.password",
            "db",
            "sentinel_password",
            "x",
            "linger.ms",
            "sasl.mechanism",
        ]);
        match self.below(6) {
            0 => format!("{scheme}://:{password}@{host}{path}"),
            1 => format!("{scheme}://me:{password}@{host}{path}?db=0"),
            2 => format!("{scheme}://{password}@{host}{path}"),
            3 => format!("{scheme}://{host}{path}?{name}={password}"),
            4 => format!("{scheme}://{host}{path}?db=0&{name}={password}&x=1"),
            // Without the host that should stand behind it; what follows an `@` would be that.
            _ => format!("{scheme}://me:{}", password.replace('@', "!")),
        }
    }
}

/// Everything that is said about a URL.
fn said_about(url: &str) -> String {
    let mut said = String::new();
    let parsed = match BrokerUrl::parse(url) {
        Ok(parsed) => parsed,
        Err(failure) => return format!("{failure} {failure:?}"),
    };
    write!(said, "{parsed} {parsed:?} ").unwrap();
    match parsed.backend(ManagerOptions::default()) {
        Ok(backend) => write!(said, "{} {:?}", backend.url, backend.manager.health()).unwrap(),
        Err(failure) => {
            write!(said, "{failure} {failure:?} {failure:#?}").unwrap();
            let (crate::failure::Failure::Input(error) | crate::failure::Failure::Broker(error)) = &failure else {
                panic!("{failure}");
            };
            let mut cause = error.source();
            while let Some(error) = cause {
                write!(said, " {error} {error:?}").unwrap();
                cause = error.source();
            }
        }
    }
    said
}

fn check(url: &str, said: &str) {
    for half in HALVES {
        assert!(!said.contains(half), "of {url:?} it was said: {said}");
    }
}

#[tokio::test]
async fn no_part_of_a_password_is_said_however_the_url_is_formed() {
    let mut numbers = Numbers(0x5EED_0001);
    let known = brokers::all().iter().filter(|broker| broker.is_available);
    for scheme in known.flat_map(|broker| broker.schemes).copied() {
        // With TLS the certificates of the system are read for each.
        let is_slow = scheme.starts_with("rediss") || scheme.starts_with("valkeys") || scheme == "amqps";
        for _ in 0..if is_slow { 30 } else { 300 } {
            let url = numbers.url(scheme);
            check(&url, &said_about(&url));
        }
    }
}

#[tokio::test]
async fn a_broker_that_is_out_of_reach_is_named_without_the_password() {
    for url in [
        "redis://me:hunter2%23sw0rdf1sh@127.0.0.1:1",
        "redis://:hunter2@sw0rdf1sh@127.0.0.1:1",
        "redis+sentinel://me:hunter2@127.0.0.1:1/main?password=sw0rdf1sh",
        "unix://me:hunter2@/nonexistent/hunter.sock?password=sw0rdf1sh",
        #[cfg(feature = "amqp")]
        "amqp://hunter2:sw0rdf1sh@127.0.0.1:1",
        #[cfg(feature = "postgres")]
        "postgres://me:hunter2@127.0.0.1:1/db?password=sw0rdf1sh",
        #[cfg(feature = "kafka")]
        "kafka://127.0.0.1:1?security.protocol=SASL_PLAINTEXT&sasl.mechanism=PLAIN&sasl.username=me&sasl.password=hunter2%26sw0rdf1sh",
    ] {
        let options = ManagerOptions {
            deadline: Duration::from_millis(300),
            ..ManagerOptions::default()
        };
        let backend = BrokerUrl::parse(url).unwrap().backend(options).unwrap();
        let error = backend.manager.publish("{}".into()).await.unwrap_err();
        let health = format!("{:?}", backend.manager.health());
        let failure = backend.failure("emit", error);
        check(url, &format!("{failure} {failure:?} {health}"));
        assert!(failure.to_string().contains("cannot emit at"), "{failure}");
    }
}
