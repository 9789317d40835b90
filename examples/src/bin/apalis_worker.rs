//! A worker of apalis that tells the clients in a room when its job is done: `apalis_worker`. Jobs
//! are added by `apalis_worker add USER MONTH`. `REDIS_URL` names the Redis of the jobs, `SIO_URL`
//! the broker of the servers.

use std::env;
use std::time::Duration;

use apalis::prelude::*;
use apalis_redis::{Config, RedisStorage};
use serde::{Deserialize, Serialize};
use serde_json::json;
use siokit::Emitter;

#[derive(Debug, Serialize, Deserialize)]
struct Report {
    user: String,
    month: String,
}

/// The job. apalis runs it again when it returns an error, or when its worker is gone, with the same id.
async fn report(job: Report, id: TaskId, emitter: Data<Emitter>) -> Result<(), BoxDynError> {
    let url = format!("/reports/{}/{}", job.user, job.month); // the work
    let room = format!("user:{}", job.user);
    let ready = emitter.to(room).idempotency_key(format!("reports-{id}-ready"));
    ready.emit("report ready", &json!({ "url": url })).await?; // returns when the broker has accepted it
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxDynError> {
    let redis = apalis_redis::connect(env::var("REDIS_URL")?).await?;
    // An idle worker looks for jobs at each heartbeat.
    let config = Config::default()
        .queue("reports")
        .heartbeat_interval(Duration::from_secs(1))
        .missed_heartbeats(60);
    let mut jobs = RedisStorage::new(redis).with_config(config);
    if let [_, add, user, month] = &env::args().collect::<Vec<_>>()[..]
        && add == "add"
    {
        let (user, month) = (user.clone(), month.clone());
        return Ok(jobs.push(Report { user, month }).await?);
    }
    let emitter = Emitter::new(siokit::connect(&env::var("SIO_URL")?)?);
    // Each worker has a name of its own; in containers, all of them are process 1.
    let host = env::var("HOSTNAME").unwrap_or_default();
    let worker = WorkerBuilder::new(format!("reports-{host}-{}", std::process::id()));
    let worker = worker.backend(jobs).data(emitter.clone()).build(report);
    worker.run_until(tokio::signal::ctrl_c()).await?;
    Ok(emitter.close().await?)
}
