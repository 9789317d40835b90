//! NaN and infinity, which JSON lacks and python-socketio writes all the same.

use integration::brokers::unique_channel;
use integration::process::Process;
use integration::python::{PyEmitter, PyManager};
use integration::{DEADLINE, managers, tools};
use serde_json::json;
use tokio::process::Command;

use crate::support::{Client, eventually, within};

/// By a process of its own: it writes the line at once, which in this process other tests may have had in the same second.
pub(super) async fn nan_from_a_worker_is_named_and_what_follows_arrives(theirs: PyManager) {
    let (url, channel) = (theirs.shared_url().await, unique_channel());
    // Makes the topic if the broker is Kafka.
    let manager = managers::on_channel(url, &channel);
    let _subscription = within("subscribe", manager.subscribe()).await.unwrap();
    let mut ours = serve(url, &channel);
    let line = ours.next_line(DEADLINE).await.unwrap();
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    let mut client = Client::connect(address.expect(&line).parse().unwrap(), &[]).await;
    let mut worker = PyEmitter::start(theirs, url, &channel).await;

    let data = json!({ "$float": "nan" });
    let command = json!({ "cmd": "emit", "name": "temperature", "namespace": "/7", "room": "hall", "data": data });
    worker.call(command).await;
    let publisher = format!("host_id=\"{}\"", worker.host_id());
    let parts = [
        "skipped a message",
        "NaN",
        "event=\"temperature\"",
        "namespace=\"/7\"",
        "room=\"hall\"",
        publisher.as_str(),
    ];
    let is_named = |line: &str| parts.iter().all(|part| line.contains(part));
    eventually("it is named", || ours.stderr().lines().any(is_named)).await;

    let next = json!({ "cmd": "emit", "name": "next", "data": 20.5 });
    worker.call(next).await;
    assert_eq!(client.packet().await, "42[\"next\",20.5]");
    assert!(!ours.stderr().contains("may have been missed"), "{}", ours.stderr());
}

fn serve(url: &str, channel: &str) -> Process {
    let mut command = Command::new(tools::sio());
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--url", url, "--channel", channel])
        .env_remove("SIO_URL")
        .env_remove("SIO_URL_FILE")
        .env_remove("RUST_LOG");
    Process::spawn("sio", command)
}
