//! The emitter of socketioxide: `emit redis://host:port COUNT`, 256 events on their way at a time.

#[path = "stamp.rs"]
mod stamp;

use std::error::Error;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, RedisError, Value};
use socketioxide_emitter::{Driver, IoEmitter};
use tokio::task::JoinSet;

const IN_FLIGHT: usize = 256;

struct Publisher(MultiplexedConnection);

impl Driver for Publisher {
    type Error = RedisError;

    async fn emit(&self, channel: String, data: Vec<u8>) -> Result<(), RedisError> {
        let mut connection = self.0.clone();
        connection.publish::<_, _, Value>(channel, data).await.map(drop)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, count] = &arguments[..] else {
        return Err("usage: emit URL COUNT".into());
    };
    let client = redis::Client::open(url.as_str())?;
    let publisher = Arc::new(Publisher(client.get_multiplexed_async_connection().await?));
    let mut in_flight = JoinSet::new();
    for _ in 0..count.parse::<u64>()? {
        if in_flight.len() >= IN_FLIGHT {
            in_flight.join_next().await.transpose()?;
        }
        let publisher = publisher.clone();
        in_flight.spawn(async move {
            let emitter = IoEmitter::new().to("r");
            if let Err(error) = emitter.emit("m", &stamp::stamped(128), &*publisher).await {
                eprintln!("not published: {error}");
            }
        });
    }
    in_flight.join_all().await;
    Ok(())
}
