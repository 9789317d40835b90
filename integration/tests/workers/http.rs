//! BullMQ and Sidekiq, which post to the HTTP API: the answer to the first request is lost.

use integration::brokers::RedisBroker;
use integration::process::Process;
use serde_json::json;

use super::stage::Stage;
use crate::support::within;

/// Adds a job while answers of the API are lost, and breaks the connections once its event has come.
async fn the_answer_is_lost(mut stage: Stage, _worker: Process, program: &str, add: &[&str], redis: &RedisBroker) {
    stage.api.mute();
    let mut adding = stage.command(program, add);
    adding.env("REDIS_URL", redis.url());
    stage.run(adding).await;
    stage
        .expect("report ready", json!({"url": "/reports/ada/2026-11"}))
        .await;
    within("the cut", stage.api.cut()).await;
    stage.api.restore();
    stage.ends_without_another().await;
}

#[tokio::test]
async fn a_job_of_bullmq_that_is_retried_reaches_the_client_once() {
    const ADD: &str = r#"
const { Queue } = require("bullmq");
const queue = new Queue("reports", { connection: { url: process.env.REDIS_URL } });
const options = { attempts: 10, backoff: { type: "exponential", delay: 1_000 } };
queue.add("report", { user: "ada", month: "2026-11" }, options).then(() => queue.close());"#;
    let redis = RedisBroker::start().await;
    let stage = Stage::start(&redis.url(), "socketio", "user:ada", &["node/reports.js"]).await;
    let worker = stage.worker("node/reports.js", "", &[("REDIS_URL", &redis.url())]);
    the_answer_is_lost(stage, worker, "node", &["-e", ADD], &redis).await;
}

#[tokio::test]
async fn a_job_of_sidekiq_that_is_retried_reaches_the_client_once() {
    let redis = RedisBroker::start().await;
    let stage = Stage::start(&redis.url(), "socketio", "user:ada", &["ruby/report_job.rb"]).await;
    // It looks for retries every few seconds otherwise.
    std::fs::write(stage.folder().join("sidekiq.yml"), ":poll_interval_average: 1\n").unwrap();
    let variables = [("REDIS_URL", &*redis.url())];
    let worker = stage.worker("ruby/report_job.rb", "-c 1 -C sidekiq.yml", &variables);
    let add = [
        "-r",
        "./report_job.rb",
        "-e",
        "ReportJob.perform_async('ada', '2026-11')",
    ];
    the_answer_is_lost(stage, worker, "ruby", &add, &redis).await;
}
