//! What the programs for the load generator share.

use std::sync::Arc;
use std::time::Duration;

use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, Error};
use manager_kafka::{KafkaManager, KafkaOptions};
use manager_redis::{RedisManager, RedisOptions};
use rustix::time::{ClockId, clock_gettime};

/// Makes a manager with default options for the broker that a URL names; of Redis, if by none of the others' schemes.
///
/// # Errors
///
/// As the manager's constructor.
pub fn manager(url: &str) -> Result<Arc<dyn ClientManager>, Error> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    if AmqpManager::SCHEMES.contains(&scheme) {
        return Ok(Arc::new(AmqpManager::new(url, AmqpOptions::default())?));
    }
    if KafkaManager::SCHEMES.contains(&scheme) {
        return Ok(Arc::new(KafkaManager::new(url, KafkaOptions::default())?));
    }
    Ok(Arc::new(RedisManager::new(url, RedisOptions::default())?))
}

/// Returns a message of 128 bytes that begins with the time since boot in nanoseconds, in 16 digits: every process of this host reads the
/// same clock.
pub fn stamped_message() -> String {
    let now = clock_gettime(ClockId::Monotonic);
    let nanoseconds = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
    format!("{nanoseconds:016}:{:x<111}", "")
}

/// Returns the processor time that this process has used.
pub fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
