//! URLs of brokers, of every scheme: no part of a secret in one appears in any message about it.
#![no_main]

use std::error::Error as _;
use std::fmt::{Debug, Write as _};

use libfuzzer_sys::fuzz_target;
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::backend::url::shown;
use manager_api::{ClientManager, Error};
use manager_kafka::{KafkaManager, KafkaOptions};
use manager_postgres::{PostgresManager, PostgresOptions};
use manager_redis::{RedisManager, RedisOptions};

/// What a secret is marked with.
const MARK: &str = "hunter2";
/// Parameters whose value is a secret, or may be one where the name is unknown.
const SECRETS: [&str; 6] = ["password", "sentinel_password", "sasl.password", "ssl.key.password", "queue", "x"];
/// Of so many inputs one is tried with the schemes for which the system's certificates are read, each time.
const SLOW: usize = 16;

fuzz_target!(|rest: &str| {
    let schemes = [RedisManager::SCHEMES, AmqpManager::SCHEMES, KafkaManager::SCHEMES, PostgresManager::SCHEMES].concat();
    for scheme in schemes {
        let has_tls = ["rediss", "valkeys", "amqps"].iter().any(|slow| scheme.starts_with(slow));
        if has_tls && rest.len() % SLOW != 0 {
            continue;
        }
        let without_at = rest.replace('@', "");
        check(&format!("{scheme}://{rest}"), rest);
        check(&format!("{scheme}://me:{MARK}{rest}@h"), rest);
        check(&format!("{scheme}://me:{rest}{MARK}@h"), rest);
        // What follows an `@` would be the host.
        check(&format!("{scheme}://me:{MARK}{without_at}"), rest);
        let name = SECRETS[rest.len() % SECRETS.len()];
        check(&format!("{scheme}://h?{name}={without_at}{MARK}"), rest);
    }
});

/// The mark is said only where the input has it, too.
fn check(url: &str, rest: &str) {
    let said = said(url);
    assert!(rest.contains(MARK) || !said.contains(MARK), "of {url:?}: {said}");
}

/// Everything that is said about a URL.
fn said(url: &str) -> String {
    let scheme = url.split("://").next().unwrap_or_default();
    let mut said = shown(url).to_string();
    if AmqpManager::SCHEMES.contains(&scheme) {
        told(&mut said, AmqpManager::new(url, AmqpOptions::default()));
    } else if KafkaManager::SCHEMES.contains(&scheme) {
        told(&mut said, KafkaManager::new(url, KafkaOptions::default()));
    } else if PostgresManager::SCHEMES.contains(&scheme) {
        told(&mut said, PostgresManager::new(url, PostgresOptions::default()));
    } else {
        told(&mut said, RedisManager::new(url, RedisOptions::default()));
    }
    said
}

fn told(said: &mut String, made: Result<impl ClientManager + Debug, Error>) {
    // Writing to a string does not fail.
    let _ = match made {
        Ok(manager) => write!(said, " {manager:?} {:?}", manager.health()),
        Err(error) => {
            let _ = write!(said, " {error} {error:?} {error:#?}");
            let mut cause = error.source();
            while let Some(error) = cause {
                let _ = write!(said, " {error} {error:?}");
                cause = error.source();
            }
            Ok(())
        }
    };
}
