//! URLs of brokers: whatever stands in them, no part of a secret is said.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::backend::url::shown;
use manager_redis::{RedisManager, RedisOptions};

/// What a secret is marked with.
const MARK: &str = "hunter2";

fuzz_target!(|rest: &str| {
    // Those with TLS differ in nothing but that they read the system's certificates, each time.
    for scheme in ["redis", "unix", "redis+sentinel", "redis+cluster"] {
        check(&format!("{scheme}://{rest}"));
        check(&format!("{scheme}://me:{MARK}{rest}@h"));
        check(&format!("{scheme}://h?password={}{MARK}", rest.replace('@', "")));
    }
    let amqp = format!("amqp://me:{rest}{MARK}@h");
    let said = AmqpManager::new(&amqp, AmqpOptions::default()).err();
    said_nothing(&amqp, &format!("{} {said:?}", shown(&amqp)), rest);
});

fn check(url: &str) {
    let said = RedisManager::new(url, RedisOptions::default()).err();
    let rest = url.replacen(MARK, "", 1);
    said_nothing(url, &format!("{} {said:?}", shown(url)), &rest);
}

/// The mark is said only where the input has it, too.
fn said_nothing(url: &str, said: &str, rest: &str) {
    assert!(rest.contains(MARK) || !said.contains(MARK), "of {url:?}: {said}");
}
