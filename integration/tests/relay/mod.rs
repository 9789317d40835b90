//! `sio relay`: real sources, real relays that are killed, and a client that counts what it gets.

mod flavours;
mod kills;
mod letters;
mod outages;
mod outbox;
mod sources;
mod tables;

use std::collections::BTreeMap;
use std::time::Duration;

use integration::brokers::{RedisBroker, unique_channel};
use integration::process::Process;
use integration::{managers, tools};
use socket_io::SocketIo;
use tokio::process::Command;
use tokio::time::{Instant, timeout_at};

use crate::support::{Client, Server, within};
pub(crate) use sources::{Amqp, Kafka, Kind, Lines, RedisStream};

/// The room that relays emit into.
const ROOM: &str = "lobby";

/// A server, a client in the room, and a source.
struct Rig<K> {
    redis: &'static str,
    channel: String,
    kind: K,
    _server: Server,
    client: Client,
    /// How often each number came.
    pub(crate) seen: BTreeMap<u64, u32>,
    num_started: u64,
}

impl<K: Kind> Rig<K> {
    async fn new(kind: K) -> Self {
        let redis = RedisBroker::shared().await.url();
        let channel = unique_channel();
        let server = Server::start(SocketIo::builder().manager(managers::on_channel(redis, &channel))).await;
        let client = Client::connect(server.address, &[ROOM]).await;
        Self {
            redis,
            channel,
            kind,
            _server: server,
            client,
            seen: BTreeMap::new(),
            num_started: 0,
        }
    }

    /// Starts a relay with further arguments.
    fn relay(&mut self, more: &[&str]) -> Process {
        self.num_started += 1;
        let mut command = Command::new(tools::sio());
        command
            .arg("relay")
            .args(self.kind.arguments(self.num_started))
            .args(["--room", ROOM, "--url", self.redis, "--channel", &self.channel])
            .args(more)
            .env_remove("SIO_URL")
            .env_remove("SIO_URL_FILE")
            .env_remove("RUST_LOG");
        if !more.contains(&"--event") {
            command.args(["--event", "record", "--arg", "{/n}"]);
        }
        Process::spawn("sio relay", command)
    }

    /// Takes what the client gets until `until` holds for the number of different numbers, or nothing comes for a while.
    async fn take(&mut self, until: usize, patience: Duration) {
        let mut end = Instant::now() + patience;
        while self.seen.len() < until {
            let Ok(packet) = timeout_at(end, self.client.packet()).await else {
                return;
            };
            end = Instant::now() + patience;
            self.count(&packet);
        }
    }

    /// Takes what is still on its way: an event of the test's own comes last.
    async fn take_the_rest(&mut self) {
        let emitter = manager_api::Emitter::new(managers::on_channel(self.redis, &self.channel));
        emitter.to(ROOM).emit("end", &()).await.unwrap();
        loop {
            let packet = self.client.packet().await;
            if packet == "42[\"end\"]" {
                return;
            }
            self.count(&packet);
        }
    }

    fn count(&mut self, packet: &str) {
        let arguments = packet.strip_prefix("42").expect(packet);
        let (event, number): (String, u64) = serde_json::from_str(arguments).expect(packet);
        assert_eq!(event, "record");
        *self.seen.entry(number).or_default() += 1;
    }

    /// Returns how many of the numbers below `count` did not come, and how many came more than once.
    fn lost_and_doubled(&self, count: u64) -> (u64, usize) {
        let lost = (0..count).filter(|number| !self.seen.contains_key(number)).count();
        let doubled = self.seen.values().filter(|times| **times > 1).count();
        (lost as u64, doubled)
    }
}

/// Returns a number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Waits until a relay says that it is ready.
async fn ready(relay: &mut Process) -> String {
    let line = relay
        .expect_line(integration::DEADLINE, |line| line.starts_with("for operators"))
        .await;
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    let address = address.expect(&line).to_owned();
    let end = Instant::now() + integration::DEADLINE;
    loop {
        let (status, body) = page(&address, "/health/ready").await;
        if status == 200 {
            return address;
        }
        assert!(Instant::now() < end, "not ready: {body}{}", relay.stderr());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until so many records are acknowledged, and returns the metrics.
async fn acknowledged(address: &str, count: u64) -> String {
    let wanted = format!("sio_relay_acknowledged_total {count}\n");
    within(&wanted, async {
        loop {
            let (_, metrics) = page(address, "/metrics").await;
            if metrics.contains(&wanted) {
                return metrics;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// Requests a page of the operator's address.
async fn page(address: &str, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = response.split("\r\n\r\n").nth(1).unwrap_or_default();
    (status.expect(&response), body.to_owned())
}
