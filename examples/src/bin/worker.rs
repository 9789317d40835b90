//! A worker that reports its progress to the clients that watch a job, without a server in its process:
//! `worker JOB`, with `REDIS_URL` and `CHANNEL`. The servers are `processes`.
//!
//! ```js
//! await client.emitWithAck("watch", "job 7");
//! client.on("progress", (percent) => …); client.on("done", (result) => …);
//! ```

use examples::Failure;
use serde_json::json;
use siokit::Emitter;

/// The number of steps of the job.
const STEPS: u64 = 4;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let job = examples::argument(1).ok_or("which job? worker JOB")?;
    let emitter = Emitter::new(examples::redis()?);
    let room = format!("job {job}");
    let mut sum = 0;
    for step in 1..=STEPS {
        sum += work(step).await;
        let percent = step * 100 / STEPS;
        examples::say(format_args!("job {job}: {percent} %"));
        // Lost progress does not matter: the work continues whether or not the broker is reachable.
        if let Err(error) = emitter.to(&room).emit("progress", &percent).await {
            examples::log(format_args!("progress is not told: {error}"));
        }
    }
    // The result is missed: if the broker does not accept it, the worker fails.
    let result = json!({ "job": job, "sum": sum });
    emitter.to(&room).emit("done", &result).await?;
    emitter.close().await?;
    Ok(())
}

/// A placeholder for long-running work.
async fn work(step: u64) -> u64 {
    tokio::task::yield_now().await;
    step * step
}
