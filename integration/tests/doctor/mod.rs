//! `sio doctor` on brokers that are misconfigured on purpose, one fault each, and on brokers that are not.

mod amqp;
mod documented;
mod kafka;
mod postgres;
mod redis;

use std::time::{Duration, SystemTime};

use integration::brokers::unique_channel;
use integration::python::{PyManager, PyServer};
use integration::{DEADLINE, managers, tools};
use manager_api::cluster::{ClusterResponse, RequestKind, ResponsePart, ServerStatus};
use manager_api::message::{Envelope, Message};
use manager_api::{HostId, Incoming, wire};
use serde_json::Value;
use socket_io::SocketIo;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{Client, Server};

/// What `sio doctor` printed, and how it ended.
struct Diagnosis {
    code: Option<i32>,
    findings: Vec<Value>,
    said: String,
}

/// For a busy machine, on which servers take their time to respond. A diagnosis ends as soon as all have.
const PATIENT: &[&str] = &["--timeout", "45s"];

impl Diagnosis {
    /// Runs `sio doctor` on a channel.
    async fn of(url: &str, channel: &str, options: &[&str]) -> Self {
        let timeout_option = if options.contains(&"--timeout") {
            &[][..]
        } else {
            PATIENT
        };
        let mut command = Command::new(tools::sio());
        command
            .args(["doctor", "--json", "--url", url, "--channel", channel])
            .args(options)
            .args(timeout_option)
            .env_remove("SIO_URL")
            .env_remove("SIO_URL_FILE")
            .env_remove("SIO_CHANNEL")
            .env_remove("RUST_LOG")
            .kill_on_drop(true);
        let output = timeout(DEADLINE, command.output()).await.expect("it ends").unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let findings = text
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        Self {
            code: output.status.code(),
            findings,
            said: format!("{text}{}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// Checks that a finding has this code, and this text in what it says; and that the exit code is that of a problem.
    fn names(&self, code: &str, text: &str) -> &Self {
        let said = |finding: &Value| {
            ["subject", "evidence", "remedy"]
                .map(|field| finding[field].as_str().unwrap().to_owned())
                .join(" ")
        };
        let mut named = self.findings.iter().filter(|finding| finding["code"] == code);
        assert!(
            named.any(|finding| said(finding).contains(text)),
            "no {code} with {text:?}: {}",
            self.said
        );
        let has_problem = self.findings.iter().any(|finding| finding["severity"] == "problem");
        assert_eq!(self.code, Some(i32::from(has_problem)), "{}", self.said);
        for secret in ["s3cret", "hunter2"] {
            assert!(!self.said.contains(secret), "{}", self.said);
        }
        self
    }

    /// Checks that nothing has this code.
    fn lacks(&self, code: &str) -> &Self {
        assert!(
            self.findings.iter().all(|finding| finding["code"] != code),
            "{}",
            self.said
        );
        self
    }

    /// Checks that there is neither a problem nor a warning.
    fn is_healthy(&self) {
        assert_eq!(self.code, Some(0), "{}", self.said);
        for finding in &self.findings {
            assert!(
                matches!(finding["severity"].as_str(), Some("ok" | "note")),
                "{}",
                self.said
            );
        }
        for code in ["reachable", "round-trip", "servers"] {
            self.names(code, "");
        }
    }
}

/// A server of ours on the channel.
async fn server(url: &str, channel: &str) -> Server {
    Server::start(SocketIo::builder().manager(managers::on_channel(url, channel))).await
}

/// A channel with a server and its client is healthy; a namespace without clients is named.
async fn a_channel_with_a_server_is_healthy(url: &str, channel: &str) {
    let server = server(url, channel).await;
    let _client = Client::connect(server.address, &[]).await;
    Diagnosis::of(url, channel, &[]).await.is_healthy();
    let other = Diagnosis::of(url, channel, &["-n", "/elsewhere"]).await;
    other
        .names("empty-namespace", "1 in other namespaces")
        .names("servers", "1 responded");
}

/// A server of python-socketio alone: it cannot respond, which is not a problem.
async fn a_server_of_python_socketio_is_heard_of_by_the_broker(manager: PyManager) {
    let (url, channel) = (manager.shared_url().await, unique_channel());
    let _server = PyServer::start(manager, url, &channel).await;
    let diagnosis = Diagnosis::of(url, &channel, &[]).await;
    diagnosis.names("mute-listeners", "python-socketio").lacks("no-server");
    assert_eq!(diagnosis.code, Some(0), "{}", diagnosis.said);
}

/// A server that announces itself and responds with `status`, or not at all. It listens once this returns.
async fn scripted(url: &str, channel: &str, status: Option<ServerStatus>) -> JoinHandle<()> {
    let manager = managers::on_channel(url, channel);
    let (listens, listening) = oneshot::channel();
    let me = HostId::random();
    let task = tokio::spawn(async move {
        let mut subscription = manager.subscribe().await.unwrap();
        listens.send(()).unwrap();
        while let Some(incoming) = subscription.recv().await {
            let Incoming::Message(bytes) = incoming else { continue };
            let Ok(envelope) = wire::python::decode(&bytes) else {
                continue;
            };
            let Some(message) = response(envelope, status.as_ref()) else {
                continue;
            };
            let host_id = Some(me.clone());
            manager
                .publish(wire::python::encode(&Envelope::new(host_id, message)))
                .await
                .unwrap();
        }
    });
    listening.await.unwrap();
    task
}

fn response(envelope: Envelope, status: Option<&ServerStatus>) -> Option<Message> {
    let request = match envelope.message {
        Message::Seek => return Some(Message::Present),
        Message::Request(request) => request,
        _ => return None,
    };
    let part = match request.kind {
        RequestKind::Servers => ResponsePart::Present(Box::new(status?.clone())),
        _ => ResponsePart::Count(status?.clients),
    };
    Some(Message::Response(ClusterResponse {
        to: envelope.host_id?,
        id: request.id?,
        part,
        number: 0,
        is_last: true,
        is_truncated: false,
    }))
}

/// Publishes messages again and again, until the answer is dropped.
fn publishing(url: &str, channel: &str, message: bytes::Bytes) -> Publishing {
    let manager = managers::on_channel(url, channel);
    Publishing(tokio::spawn(async move {
        loop {
            manager.publish(message.clone()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }))
}

struct Publishing(JoinHandle<()>);

impl Drop for Publishing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Servers that are silent, behind, or whose clock is wrong; and messages that only python-socketio before 5.14 reads.
async fn servers_and_publishers_that_are_not_well_are_named(url: &str, channel: &str) {
    let silent = scripted(url, channel, None).await;
    let status = ServerStatus {
        host_name: "sundial".to_owned(),
        gaps: 3,
        clock: SystemTime::now() - Duration::from_secs(3600),
        ..ServerStatus::default()
    };
    let behind = scripted(url, channel, Some(status)).await;
    let _pickles = publishing(
        url,
        channel,
        bytes::Bytes::from_static(b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94."),
    );
    let _nonsense = publishing(url, channel, bytes::Bytes::from_static(b"\x1b[2Jnonsense"));
    let diagnosis = Diagnosis::of(url, channel, &["--timeout", "30s"]).await;
    diagnosis
        .names("silent-server", "did not respond")
        .names("server-gaps", "messages: 3")
        .names("clock-skew", "behind")
        .names("pickle", "5.14")
        .names("undecodable", "not a JSON message");
    silent.abort();
    behind.abort();
}
