//! `sio connect` with servers that are not `sio serve`: python-socketio's, and an application over TLS.

use integration::brokers::unique_channel;
use integration::python::{PyManager, PyServer};
use integration::{DEADLINE, tools};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::program::Program;

/// Runs the command; returns its exit code, its lines, and what it says on standard error.
async fn connect(url: &str, options: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    let mut command = Command::new(tools::sio());
    command.args(["connect", url]).args(options).kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.expect("it ends").unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).expect(line));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), lines.collect(), said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_python_socketio_answers_with_binary_and_learns_the_auth() {
    let manager = PyManager::Redis;
    let mut server = PyServer::start(manager, manager.shared_url().await, &unique_channel()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bytes");
    std::fs::write(&file, b"\x00\xff").unwrap();
    let options = [
        "-n",
        "/chat",
        "--auth",
        "{\"token\":\"t\"}",
        "--emit",
        "echo",
        "{\"a\": 1}",
        "-2",
        "--binary",
        file.to_str().unwrap(),
        "--ack",
    ];
    let (code, lines, said) = connect(server.url(), &options).await;
    assert_eq!(code, Some(0), "{said}");
    let placeholder = json!({"_placeholder": true, "num": 0});
    assert_eq!(lines[1]["args"], json!([{"a": 1}, -2, placeholder]), "{lines:?}");
    assert_eq!(
        (&lines[1]["type"], &lines[1]["attachments"]),
        (&json!("ack"), &json!(["AP8="]))
    );
    let connected = server.until(DEADLINE, |event| event["event"] == "connect").await;
    assert_eq!(
        (&connected["namespace"], &connected["auth"], &connected["sid"]),
        (&json!("/chat"), &json!({"token": "t"}), &lines[0]["sid"])
    );
    // It leaves, and is not lost.
    let left = server.until(DEADLINE, |event| event["event"] == "disconnect").await;
    assert_eq!(left["reason"], "client disconnect", "{left}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_over_tls_is_trusted_by_its_authority_alone() {
    let folder = tempfile::tempdir().unwrap();
    integration::brokers::certificates::make(folder.path());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let arguments = ["127.0.0.1:0", &file("own.pem"), &file("own.key")];
    let program = Program::start_with("with_tls", &arguments, &[]).await;
    let url = program.url().replace("http:", "https:");
    let echo = ["--emit", "echo", "1", "--ack", "--timeout", "30s"];

    let (code, lines, said) = connect(&url, &echo).await;
    assert_eq!((code, lines.len()), (Some(1), 0), "{said}");
    assert!(said.contains("the server's certificate is not trusted"), "{said}");
    let ca = file("ca.pem");
    let (code, lines, said) = connect(&url, &[&echo[..], &["--ca", &ca]].concat()).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(lines[1]["args"], json!([1]));
    // Without TLS the port does not speak HTTP.
    let (code, _, said) = connect(&program.url(), &echo).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot connect to http://"), "{said}");
    program.stop().await;
}
