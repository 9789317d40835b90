//! `sio emit` with keys.

use std::time::{Duration, Instant};

use integration::process::Process;
use integration::{DEADLINE, tools};
use tokio::process::Command;

use super::line::{Fleet, Line};

/// Starts `sio` with arguments.
fn sio(arguments: &[&str]) -> Process {
    let mut command = Command::new(tools::sio());
    command
        .args(arguments)
        .env_remove("SIO_URL")
        .env_remove("SIO_URL_FILE")
        .env_remove("SIO_WIRE")
        .env_remove("RUST_LOG");
    Process::spawn("sio", command)
}

/// A connection that breaks after a line was published does not end the command, and the file may be sent again.
pub(super) async fn lines_with_keys(line: Line) {
    let mut fleet = Fleet::start(line).await;
    let (url, channel) = (fleet.line.through.clone(), fleet.channel.clone());
    let start = || {
        sio(&[
            "emit",
            "--lines",
            "--room",
            "room",
            "--url",
            &url,
            "--channel",
            &channel,
        ])
    };
    let line = |number: u64| format!(r#"{{"event":"done","data":{number},"key":"line-{number}"}}"#);
    let mut lines = start();
    for number in 0..2 {
        lines.send_line(&line(number)).await;
        fleet.expect_on_first(number).await;
    }
    fleet.line.proxy.mute();
    lines.send_line(&line(2)).await;
    fleet.expect_on_first(2).await;
    fleet.break_off().await;
    lines.close_stdin();
    let status = lines.wait(DEADLINE).await;
    assert!(status.success(), "{status}: {}", lines.stderr());

    let mut again = start();
    for number in 0..3 {
        again.send_line(&line(number)).await;
    }
    again.close_stdin();
    let status = again.wait(DEADLINE).await;
    assert!(status.success(), "{status}: {}", again.stderr());
    let key = [
        "--idempotency-key",
        "line-0",
        "--room",
        "room",
        "--url",
        &url,
        "--channel",
        &channel,
    ];
    let mut once_more = sio(&[&["emit", "done", "0"], &key[..]].concat());
    assert!(once_more.wait(DEADLINE).await.success(), "{}", once_more.stderr());
    for number in 0..3 {
        fleet.expect_on_second(number).await;
    }
    let worker = fleet.worker().await;
    let [one, two] = fleet.end(&worker).await;
    assert!(one >= 4 && one == two, "dropped {one} and {two}");
}

#[tokio::test]
async fn a_key_that_cannot_be_used_or_carried_is_refused_at_once_as_input() {
    let long = "k".repeat(129);
    for (arguments, reason) in [
        (&["--idempotency-key", &*long][..], "over the limit of 128"),
        (&["--idempotency-key", ""], "must not be empty"),
        (
            &["--idempotency-key", "k", "--wire", "node-classic"],
            "cannot carry an idempotency key",
        ),
        (
            &["--idempotency-key", "k", "--wire", "node-streams", "--ack", "1"],
            "cannot carry an idempotency key",
        ),
    ] {
        // Nothing listens there; it is not even tried.
        let out_of_reach = ["emit", "news", "--url", "redis://127.0.0.1:1"];
        let begun = Instant::now();
        let mut refused = sio(&[&out_of_reach[..], arguments].concat());
        let status = refused.wait(DEADLINE).await;
        assert_eq!(status.code(), Some(2), "{arguments:?}: {}", refused.stderr());
        assert!(refused.stderr().contains(reason), "{arguments:?}: {}", refused.stderr());
        assert!(begun.elapsed() < Duration::from_secs(10), "it waited for the broker");
    }
}
