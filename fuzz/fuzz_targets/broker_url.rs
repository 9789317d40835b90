//! URLs of brokers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_redis::{RedisManager, RedisOptions};

fuzz_target!(|rest: &str| {
    // Those with TLS differ in nothing but that they read the system's certificates, each time.
    for scheme in ["redis", "unix", "redis+sentinel", "redis+cluster"] {
        let _ = RedisManager::new(&format!("{scheme}://{rest}"), RedisOptions::default());
    }
    let _ = AmqpManager::new(&format!("amqp://{rest}"), AmqpOptions::default());
});
