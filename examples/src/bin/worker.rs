//! A worker that tells its progress to those who watch a job, without a server in its process:
//! `worker JOB`, with `REDIS_URL` and `CHANNEL`. The servers are `processes`.
//!
//! ```js
//! await client.emitWithAck("watch", "job 7");
//! client.on("progress", (percent) => …); client.on("done", (result) => …);
//! ```

use examples::Failure;
use serde_json::json;
use siokit::Emitter;

/// What the job is divided into.
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
        // Progress that is lost is not missed: the work goes on, whether or not the broker is there.
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

/// Stands for what takes long.
async fn work(step: u64) -> u64 {
    tokio::task::yield_now().await;
    step * step
}
