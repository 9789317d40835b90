//! apalis, with an `Emitter`.

use integration::brokers::RedisBroker;
use integration::brokers::redis::ask;
use integration::process::Process;
use integration::proxy::TcpProxy;
use integration::tools;
use serde_json::json;

use super::stage::Stage;
use crate::support::within;

/// The answers of the broker are lost for longer than the emitter waits for them.
#[tokio::test]
async fn a_task_of_apalis_that_is_retried_reaches_the_client_once() {
    let redis = RedisBroker::start().await;
    let (proxy, through) = TcpProxy::before(&redis.url()).await;
    let mut stage = Stage::start(&redis.url(), "socketio", "user:ada", &[]).await;
    let program = tools::example("apalis_worker");
    let command = |arguments: &[&str]| {
        let mut command = stage.command(program.to_str().unwrap(), arguments);
        command.env("REDIS_URL", redis.url()).env("SIO_URL", &through);
        command
    };
    let _worker = Process::spawn("apalis_worker", command(&[]));
    let (first, second) = (command(&["add", "ada", "2026-10"]), command(&["add", "ada", "2026-11"]));
    stage.run(first).await;
    stage
        .expect("report ready", json!({"url": "/reports/ada/2026-10"}))
        .await;
    proxy.mute();
    stage.run(second).await;
    stage
        .expect("report ready", json!({"url": "/reports/ada/2026-11"}))
        .await;
    let waits_for_its_retry = async {
        let mut waiting = ::redis::cmd("KEYS");
        waiting.arg("*");
        while !ask::<Vec<String>>(&redis.url(), &waiting)
            .await
            .unwrap()
            .iter()
            .any(|key| key.contains("schedule"))
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    within("the first try has failed", waits_for_its_retry).await;
    within("the cut", proxy.cut()).await;
    proxy.restore();
    stage.ends_without_another().await;
}
