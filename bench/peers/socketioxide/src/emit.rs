//! The emitter of socketioxide: `emit redis://host:port COUNT`, 256 events on their way at a time.

#[path = "stamp.rs"]
mod stamp;

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

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
    let count = count.parse::<u64>()?;
    let (cpu, began) = (cpu_time()?, Instant::now());
    for _ in 0..count {
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
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_time()? - cpu);
    let (per_second, cpu_per_event) = (count as f64 / seconds, cpu / count as f64);
    println!(r#"{{"num_events":{count},"per_second":{per_second},"cpu_per_event":{cpu_per_event}}}"#);
    Ok(())
}

/// The processor time of this process in microseconds, to a hundredth of a second.
fn cpu_time() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Result<Vec<u64>, _> = fields.skip(11).take(2).map(str::parse).collect();
    Ok(ticks?.iter().sum::<u64>() as f64 * 10_000.0)
}
