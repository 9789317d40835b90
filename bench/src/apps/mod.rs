//! Programs under test: the floor, a server and an emitter of this project.
//!
//! Every server answers the same events in namespace `/`: `echo(data)` acknowledges with `data`; `join(room)` and `leave(room)` acknowledge
//! with `"ok"`; `publish(room, bytes, count)` emits `m` to the room, `count` times, each a text of `bytes` bytes that begins with the time
//! since boot.

pub mod emitter;
pub mod floor;
pub mod server;

use std::sync::Arc;

use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, Error};
use manager_kafka::{KafkaManager, KafkaOptions};
use manager_redis::{RedisManager, RedisOptions};

/// Makes a manager with default options for the broker that a URL names; for Redis if its scheme is not one of the others'.
fn manager(url: &str) -> Result<Arc<dyn ClientManager>, Error> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    if AmqpManager::SCHEMES.contains(&scheme) {
        return Ok(Arc::new(AmqpManager::new(url, AmqpOptions::default())?));
    }
    if KafkaManager::SCHEMES.contains(&scheme) {
        return Ok(Arc::new(KafkaManager::new(url, KafkaOptions::default())?));
    }
    Ok(Arc::new(RedisManager::new(url, RedisOptions::default())?))
}
