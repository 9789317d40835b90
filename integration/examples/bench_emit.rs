//! The emitter of the load generator: `bench_emit BROKER_URL COUNT [RATE] [IN_FLIGHT]`.
//!
//! Publishes `m` to room `r`, each awaited to its acceptance, and prints what that took as one line of JSON.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use integration::bench::{cpu_time, stamped_message};
use manager_api::{Emitter, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, count, rest @ ..] = &arguments[..] else {
        return Err("usage: bench_emit BROKER_URL COUNT [RATE] [IN_FLIGHT]".into());
    };
    let count: u64 = count.parse()?;
    let number = |at: usize, default: f64| rest.get(at).map_or(Ok(default), |text| text.parse::<f64>());
    let (rate, in_flight) = (number(0, 0.0)?, number(1, 256.0)? as usize);

    let emitter = Emitter::new(siokit::connect(url)?);
    // The connection is no part of what is measured.
    emitter.to("nobody").emit("warm", "up").await?;
    let (cpu, start) = (cpu_time(), Instant::now());
    emit(&emitter, count, rate, in_flight).await?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_us = (cpu_time() - cpu).as_secs_f64() * 1e6 / count as f64;
    println!(
        "{{\"emits\":{count},\"seconds\":{seconds},\"emits_per_s\":{},\"cpu_us_per_emit\":{cpu_us}}}",
        count as f64 / seconds
    );
    Ok(())
}

async fn emit(emitter: &Emitter, count: u64, rate: f64, max_in_flight: usize) -> Result<(), Error> {
    let start = tokio::time::Instant::now();
    let mut in_flight = FuturesUnordered::new();
    for sent in 0..count {
        while in_flight.len() >= max_in_flight {
            in_flight.next().await.transpose()?;
        }
        in_flight.push(emitter.to("r").emit("m", &stamped_message()));
        if rate > 0.0 {
            let next = start + Duration::from_secs_f64((sent + 1) as f64 / rate);
            // A future that nobody polls publishes nothing.
            let _ = tokio::time::timeout_at(next, collect(&mut in_flight)).await;
            tokio::time::sleep_until(next).await;
        }
    }
    collect(&mut in_flight).await
}

async fn collect(in_flight: &mut FuturesUnordered<BoxFuture<'static, Result<(), Error>>>) -> Result<(), Error> {
    while let Some(accepted) = in_flight.next().await {
        accepted?;
    }
    Ok(())
}
