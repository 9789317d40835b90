//! The sharded adapter in its default mode, in which a bridge does not receive all events.

use integration::DEADLINE;
use integration::process::Process;
use integration::tools;
use serde_json::json;
use std::io::Write;
use tempfile::NamedTempFile;
use tokio::process::Command;

use super::support::{BridgeProcess, Ends, Fleets};

#[tokio::test]
async fn rooms_of_the_sharded_adapter_that_no_bridge_hears_are_told_of_before_and_while_it_runs() {
    let mut fleets = Fleets::start(Ends::KafkaShardedDynamic).await;
    let (status, told) = checked(&fleets).await;
    assert_eq!((status, told.contains("static")), (Some(0), false), "{told}");
    fleets.both_join("lobby").await;
    let (status, told) = loop {
        let (status, told) = checked(&fleets).await;
        // The server subscribes some time after it has responded to its client.
        if status != Some(0) {
            break (status, told);
        }
    };
    assert_eq!(status, Some(1), "{told}");
    assert!(
        told.contains("side \"node\"") && told.contains("subscriptionMode \"static\""),
        "{told}"
    );
    let bridge = BridgeProcess::start(&fleets.places).await;
    let body = bridge
        .until_ready("warned of", |body| body.contains("warning: side node: "))
        .await;
    assert!(body.contains("subscriptionMode \"static\""), "{body}");
    assert_eq!(bridge.metric("sio_bridge_side_unheard").await, 1.0);
    let said = bridge.stderr();
    assert!(
        said.contains("the bridge does not receive all events of a side"),
        "{said}"
    );
    bridge.until("active").await;
    fleets.python.emit("to all", json!([1]), None).await;
    for client in [&mut fleets.python_client, &mut fleets.node_client] {
        assert_eq!(client.next_message(DEADLINE).await.name, "to all");
    }
    bridge.stop().await;
}

/// Runs `sio bridge --check`; returns its exit code, and what it says.
async fn checked(fleets: &Fleets) -> (Option<i32>, String) {
    let mut settings = NamedTempFile::new().unwrap();
    settings.write_all(fleets.places.settings("").as_bytes()).unwrap();
    let mut command = Command::new(tools::sio());
    command.args(["bridge", "--check", "--config"]).arg(settings.path());
    let mut process = Process::spawn("sio bridge --check", command);
    let status = process.wait(DEADLINE).await;
    (status.code(), process.stderr())
}
