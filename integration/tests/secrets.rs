//! Secrets: no password appears in the output of `sio` at any verbosity, nor in that of the client libraries.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integration::brokers::kafka::KafkaSasl;
use integration::brokers::redis::ask;
use integration::brokers::{Flavour, RabbitBroker, RedisBroker, unique_channel};
use integration::process::Process;
use integration::{DEADLINE, managers, tools};
use redis::cmd;
use tokio::process::Command;

/// Runs an emit, which must succeed, a diagnosis, and both with a wrong password, with every line of every library's log.
async fn hide(url: &str, password: &str) {
    let channel = unique_channel();
    let manager = managers::on_channel(url, &channel);
    let _subscription = manager.subscribe().await.unwrap();
    let wrong_password = format!("{password}-but-wrong");
    let wrong = url.replace(password, &wrong_password);
    let (emit, doctor) = (&["emit", "news", "1"][..], &["doctor", "--timeout", "30s"][..]);
    for (url, arguments, succeeds) in [
        (url, emit, Some(true)),
        (&wrong, emit, Some(false)),
        // Whether a channel without a server has a problem depends on the broker.
        (url, doctor, None),
        (&wrong, doctor, Some(false)),
    ] {
        let mut command = Command::new(tools::sio());
        command
            .arg("-vvv")
            .args(arguments)
            .args(["--url", url, "--channel", &channel])
            .env_remove("SIO_URL")
            .env_remove("SIO_URL_FILE")
            .env("RUST_LOG", "trace");
        let mut sio = Process::spawn("sio", command);
        sio.close_stdin();
        let status = sio.wait(DEADLINE).await;
        let mut said = String::new();
        while let Some(line) = sio.next_line(DEADLINE).await {
            said += &line;
        }
        said += &sio.stderr();
        let is_expected = succeeds.is_none_or(|succeeds| succeeds == status.success());
        assert!(is_expected, "{arguments:?} ended with {status}: {said}");
        for form in forms(password) {
            assert!(!said.contains(&form), "{form} is said: {said}");
        }
    }
}

/// A password as text, and as libraries show bytes.
fn forms(password: &str) -> [String; 4] {
    let bytes = format!("{:?}", password.as_bytes());
    let hex = password.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = STANDARD.encode(password);
    let whole = base64.trim_end_matches('=');
    [
        password.to_owned(),
        bytes[1..bytes.len() - 1].to_owned(),
        hex,
        whole[..whole.len() - 1].to_owned(),
    ]
}

#[tokio::test]
async fn no_password_for_redis_is_said_at_any_verbosity() {
    let broker = RedisBroker::start().await;
    let mut user = cmd("ACL");
    user.arg(&["SETUSER", "alice", "on", ">hunter2hunter", "+@all", "~*", "&*"]);
    ask::<()>(&broker.url(), &user).await.unwrap();
    let url = format!("redis://alice:hunter2hunter@{}", broker.address());
    hide(&url, "hunter2hunter").await;
}

#[tokio::test]
async fn no_password_for_rabbitmq_is_said_at_any_verbosity() {
    let broker = RabbitBroker::start().await;
    broker.control(&["add_user", "alice", "hunter2hunter"]).await;
    broker.control(&["set_permissions", "alice", ".*", ".*", ".*"]).await;
    let url = format!("amqp://alice:hunter2hunter@{}", broker.address());
    hide(&url, "hunter2hunter").await;
}

#[tokio::test]
async fn no_password_for_kafka_is_said_at_any_verbosity() {
    let broker = KafkaSasl::try_start().await.unwrap();
    hide(&broker.url(), "s3cret").await;
}
