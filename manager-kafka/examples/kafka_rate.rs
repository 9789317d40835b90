//! How many messages per second Kafka takes from one manager, each waited for, with many in flight:
//! `kafka_rate kafka://127.0.0.1:9092 [messages] [in flight] [bytes]`. The topic is `sio-rate`.
//!
//! The counterpart is Kafka's own `kafka-producer-perf-test --producer-props acks=all linger.ms=1`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manager_api::{ClientManager, Error};
use manager_kafka::{KafkaManager, KafkaOptions};

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments
        .next()
        .ok_or("kafka_rate URL [messages] [in flight] [bytes]")?;
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (count, in_flight, len) = (number(200_000)?, number(4096)?, number(128)?);
    let mut options = KafkaOptions::default();
    options.common.channel = "sio-rate".to_owned();
    options.topic.num_partitions = Some(1);
    let manager = Arc::new(KafkaManager::new(&url, options)?);
    let message = Bytes::from(vec![b'x'; len]);
    println!("first: {:?}", one(&manager, &message).await?);
    let mut alone = Vec::new();
    for _ in 0..200 {
        alone.push(one(&manager, &message).await?);
    }
    alone.sort();
    println!("alone: median {:?}, worst of 200 {:?}", alone[100], alone[199]);
    let started = Instant::now();
    stream(&manager, &message, count, in_flight).await?;
    let took = started.elapsed();
    let rate = count as f64 / took.as_secs_f64();
    println!("{count} messages of {len} bytes, {in_flight} in flight: {rate:.0}/s");
    manager.close().await?;
    Ok(())
}

async fn one(manager: &KafkaManager, message: &Bytes) -> Result<Duration, Error> {
    let started = Instant::now();
    manager.publish(message.clone()).await?;
    Ok(started.elapsed())
}

async fn stream(manager: &Arc<KafkaManager>, message: &Bytes, count: usize, in_flight: usize) -> Result<(), Error> {
    let next = Arc::new(AtomicUsize::new(0));
    let publishers: Vec<_> = (0..in_flight)
        .map(|_| {
            let (manager, message, next) = (manager.clone(), message.clone(), next.clone());
            tokio::spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    manager.publish(message.clone()).await?;
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    for publisher in publishers {
        publisher.await.expect("no publisher panics")?;
    }
    Ok(())
}
