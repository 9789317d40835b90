//! `sio serve` in front of people: its page in Chromium, a certificate that is renewed, a rolling restart behind HAProxy.

use std::path::PathBuf;

use integration::brokers::{RedisBroker, certificates, unique_channel};
use integration::client::{ConnectOptions, RealClient};
use integration::driven::Driven;
use integration::process::Process;
use integration::{DEADLINE, managers, tools};
use manager_api::{Emitter, Payload};
use serde_json::{Value, json};
use tokio::process::Command;

/// Clients that a rolling restart moves; `tools/rolling-restart.js --clients 5000` does the same by hand.
const CLIENTS: &str = "60";

/// `sio serve` on a channel of its own.
struct Serving {
    process: Process,
    /// As it was printed, without the slash at its end.
    url: String,
    broker: String,
    channel: String,
}

impl Serving {
    async fn start(options: &[&str]) -> Self {
        let (broker, channel) = (RedisBroker::shared().await.url().to_owned(), unique_channel());
        let mut command = Command::new(tools::sio());
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(options)
            .envs([("SIO_URL", &broker), ("SIO_CHANNEL", &channel)])
            .env_remove("SIO_URL_FILE")
            .env_remove("RUST_LOG");
        let mut process = Process::spawn("sio serve", command);
        let line = process.expect_line(DEADLINE, |line| line.contains("://")).await;
        let url = line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
        Self {
            process,
            url,
            broker,
            channel,
        }
    }

    fn emitter(&self) -> Emitter {
        Emitter::new(managers::on_channel(&self.broker, &self.channel))
    }

    async fn stop(mut self) {
        self.process.signal("TERM");
        let status = self.process.wait(DEADLINE).await;
        assert!(status.success(), "{status}: {}", self.process.stderr());
    }
}

async fn joins(client: &mut RealClient, room: &str) {
    let joined = client.emit_with_ack("join", json!([room]), DEADLINE).await;
    assert_eq!(joined, Some(vec![json!("ok")]));
}

#[tokio::test]
async fn a_certificate_that_is_renewed_is_taken_over_and_clients_stay() {
    let (used, renewed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates::make(used.path());
    certificates::make(renewed.path());
    let file = |name: &str| used.path().join(name).to_str().unwrap().to_owned();
    let serving = Serving::start(&["--tls-cert", &file("own.pem"), "--tls-key", &file("own.key")]).await;
    assert!(serving.url.starts_with("https://"), "{}", serving.url);
    let options = ConnectOptions::to(&serving.url);
    let mut before = RealClient::spawn_trusting(&used.path().join("ca.pem")).await;
    before
        .connect(&options)
        .await
        .expect("the first certificate is trusted");
    let mut after = RealClient::spawn_trusting(&renewed.path().join("ca.pem")).await;
    after
        .connect(&options)
        .await
        .expect_err("the second one is not there yet");
    for name in ["own.key", "own.pem"] {
        std::fs::copy(renewed.path().join(name), used.path().join(name)).unwrap();
    }
    let renewed = async { while after.connect(&options).await.is_err() {} };
    tokio::time::timeout(DEADLINE, renewed)
        .await
        .expect("the second certificate is taken over");
    joins(&mut before, "still here").await;
    joins(&mut after, "here").await;
    serving.stop().await;
}

/// A page in Chromium.
struct Page(Driven);

impl Page {
    async fn call(&mut self, command: Value) -> Value {
        self.0.call(command).await
    }

    async fn text(&mut self, selector: &str) -> String {
        let text = self.call(json!({"cmd": "text", "selector": selector})).await;
        text.as_str().unwrap().to_owned()
    }

    /// Takes a picture for people, if `SIO_TEST_PICTURES` names a folder for them.
    async fn picture(&mut self, name: &str) {
        if let Some(folder) = std::env::var_os("SIO_TEST_PICTURES") {
            let path = PathBuf::from(folder).join(name);
            self.call(json!({"cmd": "screenshot", "path": path})).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_fits_a_phone_and_a_desk_in_light_and_dark() {
    let serving = Serving::start(&["-n", "/chat"]).await;
    let url = format!("{}/?namespace=/chat&room=lobby", serving.url);
    let mut page = Page(Driven::node("page.js", &[&tools::chromium()]));
    let emitter = serving.emitter();
    let mut grounds = Vec::new();
    for (width, scheme) in [(360, "light"), (360, "dark"), (1100, "light"), (1100, "dark")] {
        page.call(json!({"cmd": "open", "url": url, "width": width, "scheme": scheme}))
            .await;
        assert_eq!(page.text("#where").await, "/chat");
        page.call(json!({"cmd": "join", "room": "a room with a long name, for the page to break"}))
            .await;
        let event = format!("picture-{width}-{scheme}");
        let bytes: Vec<u8> = (0..=255).collect();
        let payload = Payload::builder().text("a photo").binary(bytes).build();
        emitter
            .of("/chat")
            .to("lobby")
            .emit_payload(event.as_str(), payload)
            .await
            .unwrap();
        let long = json!({"order": 4711, "text": "wordwithoutspaces".repeat(20)});
        emitter
            .of("/chat")
            .to("lobby")
            .emit("order placed", &long)
            .await
            .unwrap();
        page.call(json!({"cmd": "row", "event": "order placed"})).await;
        let row = page.call(json!({"cmd": "row", "event": event})).await;
        let shown = row[2].as_str().unwrap();
        assert!(
            shown.contains("<256 bytes: 0001 0203 0405") && shown.contains('…'),
            "{shown}"
        );
        let latency = page.call(json!({"cmd": "latency", "event": event})).await;
        assert!(latency.as_str().unwrap().ends_with(" ms to the server"), "{latency}");
        let overflow = page.call(json!({"cmd": "overflow"})).await;
        assert_eq!(overflow, json!({"wider": 0, "out": []}), "at {width} px");
        let ground = page.call(json!({"cmd": "color", "selector": "body"})).await;
        grounds.push(ground.as_str().unwrap().to_owned());
        page.picture(&format!("{width}-{scheme}.png")).await;
        page.call(json!({"cmd": "close"})).await;
    }
    assert!(
        grounds[0] == grounds[2] && grounds[1] == grounds[3] && grounds[0] != grounds[1],
        "{grounds:?}"
    );
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_emits_to_other_clients_where_that_is_allowed() {
    let serving = Serving::start(&[]).await;
    let mut other = RealClient::connected(integration::client::Kind::Node, &ConnectOptions::to(&serving.url)).await;
    joins(&mut other, "lobby").await;
    let mut page = Page(Driven::node("page.js", &[&tools::chromium()]));
    page.call(json!({"cmd": "open", "url": serving.url, "width": 900, "scheme": "light"}))
        .await;
    let emit = |arguments: &str| json!({"cmd": "emit", "room": "lobby", "event": "said", "arguments": arguments});
    let said = page.call(emit("{\"a\":1}, 2")).await;
    assert_eq!(said, "Emitted to the other clients in lobby.");
    let message = other.next_message(DEADLINE).await;
    assert_eq!(
        (message.name.as_str(), message.args),
        ("said", vec![json!({"a": 1}), json!(2)])
    );
    let said = page.call(emit("{a:1}")).await;
    assert!(said.as_str().unwrap().contains("not JSON"), "{said}");
    serving.stop().await;

    let serving = Serving::start(&["--publish=false"]).await;
    page.call(json!({"cmd": "open", "url": serving.url, "width": 900, "scheme": "light"}))
        .await;
    page.call(json!({"cmd": "join", "room": "attic"})).await;
    let is_visible = page.call(json!({"cmd": "is_visible", "selector": "#emit-card"})).await;
    assert_eq!(is_visible, json!(false));
    let mut other = RealClient::connected(integration::client::Kind::Node, &ConnectOptions::to(&serving.url)).await;
    let refused = other.emit_with_ack("publish", json!(["lobby", "said"]), DEADLINE).await;
    assert_eq!(refused, Some(vec![json!("not allowed")]));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_connects_with_the_token_of_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "a secret of at least 32 bytes, for the tests alone").unwrap();
    let key = key.to_str().unwrap();
    let serving = Serving::start(&["--token-key-file", key]).await;
    let mut command = Command::new(tools::sio());
    command.args([
        "token",
        "gen",
        "--key-file",
        key,
        "--sub",
        "ada",
        "--rooms",
        "attic",
        "--expires",
        "15m",
    ]);
    let made = command.env_remove("RUST_LOG").output().await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let token = String::from_utf8(made.stdout).unwrap();
    let mut page = Page(Driven::node("page.js", &[&tools::chromium()]));
    let url = format!("{}/#token={}", serving.url, token.trim());
    page.call(json!({"cmd": "open", "url": url, "width": 360, "scheme": "light"}))
        .await;
    page.call(json!({"cmd": "join", "room": "attic"})).await;
    let said = page.call(json!({"cmd": "try_join", "room": "cellar"})).await;
    assert_eq!(said, "not allowed");
    serving.stop().await;
}

/// Replaces three servers behind HAProxy under clients, and returns the figures.
async fn replace_servers(options: &[&str]) -> Value {
    let (broker, channel) = (RedisBroker::shared().await.url().to_owned(), unique_channel());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/rolling-restart.js");
    let mut command = Command::new(tools::node());
    command.arg(script).env("SIO_TEST_NODE_PATH", tools::node_modules());
    command
        .args(["--url", &broker, "--channel", &channel, "--clients", CLIENTS])
        .args(options);
    command
        .arg("--sio")
        .arg(tools::sio())
        .arg("--haproxy")
        .arg(tools::haproxy());
    let mut process = Process::spawn("rolling-restart.js", command);
    let figures = process.expect_line(DEADLINE * 4, |line| line.starts_with('{')).await;
    let figures: Value = serde_json::from_str(&figures).unwrap();
    let clients = json!(CLIENTS.parse::<u64>().unwrap());
    assert_eq!(
        (&figures["back"], &figures["received"]),
        (&clients, &clients),
        "{figures}"
    );
    assert!(process.wait(DEADLINE).await.success(), "{}", process.stderr());
    figures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_behind_a_proxy_brings_every_client_back_without_a_storm() {
    let figures = replace_servers(&["--drain", "2s"]).await;
    // Each server had a third of them, and gave up ten a second at most.
    let peak = figures["peak_handshakes_per_second"].as_u64().unwrap();
    assert!((1..=30).contains(&peak), "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_every_server_behind_a_proxy_brings_every_client_back() {
    let figures = replace_servers(&["--crash", "yes"]).await;
    assert!(figures["reconnects"].as_u64().unwrap() >= 60, "{figures}");
}
