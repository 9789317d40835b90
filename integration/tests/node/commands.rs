//! The command `sio` with servers of Node.js.

use integration::brokers::unique_channel;
use integration::driven::binary;
use integration::process::Process;
use integration::{DEADLINE, tools};
use serde_json::{Value, json};
use tokio::process::Command;

use super::fleet::{Fleet, Wire};

/// A command that has ended.
struct Done {
    code: Option<i32>,
    lines: Vec<String>,
    stderr: String,
}

impl Done {
    /// The lines as JSON.
    fn json(self) -> Vec<Value> {
        let read = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        self.lines.iter().map(read).collect()
    }
}

fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Process {
    let mut command = Command::new(tools::sio());
    command.args(arguments);
    for variable in ["SIO_URL", "SIO_URL_FILE", "SIO_CHANNEL", "SIO_WIRE", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command.envs(variables.iter().copied());
    Process::spawn("sio", command)
}

async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Done {
    finished(start(arguments, variables)).await
}

async fn finished(mut sio: Process) -> Done {
    sio.close_stdin();
    let mut lines = Vec::new();
    while let Some(line) = sio.next_line(DEADLINE).await {
        lines.push(line);
    }
    let code = sio.wait(DEADLINE).await.code();
    let stderr = sio.stderr();
    Done { code, lines, stderr }
}

/// The options that lead to a fleet.
fn options(fleet: &Fleet) -> Vec<String> {
    let wire = match fleet.wire {
        Wire::Classic | Wire::ClassicSpecific => "--wire=node-classic",
        Wire::Sharded => "--wire=node-sharded",
        Wire::Streams => "--wire=node-streams",
        Wire::StreamsSharded => "--wire=node-streams --wire-sharded-pub-sub",
        Wire::StreamsTwo => "--wire=node-streams --wire-stream-count=2",
        Wire::StreamsOld => "--wire=node-streams-0.2",
        Wire::Postgres => "--wire=node-postgres",
    };
    let mut options: Vec<_> = wire.split(' ').map(str::to_owned).collect();
    options.push(format!("--url={}", fleet.url));
    options.push(format!("--wire-prefix={}", fleet.prefix));
    if wire.contains("streams") {
        options.push(format!("--wire-stream={}", fleet.prefix));
    }
    options
}

macro_rules! on_wires {
    ($($wire:ident as $test:ident,)*) => {
        $(#[tokio::test]
        async fn $test() {
            every_command_reaches_a_fleet(Fleet::start(Wire::$wire).await).await;
        })*
    };
}

on_wires! {
    Classic as commands_reach_servers_with_the_classic_adapter,
    Sharded as commands_reach_servers_with_the_sharded_adapter,
    Streams as commands_reach_servers_with_streams,
    StreamsSharded as commands_reach_servers_with_streams_and_sharded_pub_sub,
    StreamsTwo as commands_reach_servers_with_two_streams,
    StreamsOld as commands_reach_servers_with_streams_of_version_0_2,
    Postgres as commands_reach_servers_with_the_adapter_for_postgresql,
}

async fn every_command_reaches_a_fleet(mut fleet: Fleet) {
    fleet.join(0, &[json!("a")]).await;
    fleet.join(1, &[json!("b")]).await;
    let sio = Sio(options(&fleet));
    events_arrive(&sio, &mut fleet).await;
    clients_and_servers_respond(&sio, &mut fleet).await;
    rooms_change_and_clients_go(&sio, &mut fleet).await;
    for (command, words) in [("servers", "do not report"), ("rooms", "do not list their rooms")] {
        let refused = finished(sio.start(&[command])).await;
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
}

/// The command with the options that lead to a fleet.
struct Sio(Vec<String>);

impl Sio {
    fn start(&self, arguments: &[&str]) -> Process {
        let options = self.0.iter().map(String::as_str);
        start(&arguments.iter().copied().chain(options).collect::<Vec<_>>(), &[])
    }

    /// Runs a command that succeeds.
    async fn run(&self, arguments: &[&str]) -> Done {
        let done = finished(self.start(arguments)).await;
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
        done
    }
}

async fn events_arrive(sio: &Sio, fleet: &mut Fleet) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"\x00\xff").unwrap();
    let path = file.path().to_str().unwrap();
    sio.run(&["emit", "-r", "a", "-r", "b", "both", "1", "[\"x\"]"]).await;
    sio.run(&["emit", "--except", &fleet.ids[1], "not bob"]).await;
    sio.run(&["emit", "--except-room", "a", "not a"]).await;
    sio.run(&["emit", "-n", "/chat", "chat"]).await;
    sio.run(&["emit", "--binary", path, "bytes", "{\"file\":1}"]).await;
    let mut lines = sio.start(&["emit", "--lines", "-r", "a", "line"]);
    for number in 0..3 {
        lines.send_line(&number.to_string()).await;
    }
    assert_eq!(finished(lines).await.code, Some(0));

    let event = |name: &str, args: Value| (name.to_owned(), args);
    let both = event("both", json!([1, ["x"]]));
    let bytes = event("bytes", json!([{ "file": 1 }, binary(b"\x00\xff")]));
    let chat = event("chat", json!([]));
    let mut for_ada = vec![both.clone(), event("not bob", json!([])), chat.clone(), bytes.clone()];
    for_ada.extend((0..3).map(|number| event("line", json!([number]))));
    let for_bob = vec![both, event("not a", json!([])), chat, bytes];
    let keeps_order = fleet.wire.keeps_order();
    for (client, mut expected) in fleet.clients.iter_mut().zip([for_ada, for_bob]) {
        let mut seen = Vec::new();
        for _ in 0..expected.len() {
            let message = client.next_message(DEADLINE).await;
            seen.push((message.name, Value::from(message.args)));
        }
        if !keeps_order {
            let text = |(name, args): &(String, Value)| format!("{name}{args}");
            seen.sort_by_key(text);
            expected.sort_by_key(text);
        }
        assert_eq!(seen, expected);
    }
    assert_eq!(fleet.events().await, [[""; 0]; 2]);
}

async fn clients_and_servers_respond(sio: &Sio, fleet: &mut Fleet) {
    let ada = &fleet.ids[0];
    let mut asking = sio.start(&["emit", "--ack", "1", "-r", ada, "question", "\"ready?\""]);
    let question = fleet.clients[0].next_message(DEADLINE).await;
    fleet.clients[0].ack(question.ack.unwrap(), json!(["yes"])).await;
    let line = asking.next_line(DEADLINE).await.unwrap();
    let ack: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ack, json!({ "client": null, "args": ["yes"] }));
    assert_eq!(finished(asking).await.code, Some(0));

    let patience = Patience::with(fleet.wire);
    let receipt = ["emit", "--receipt", "received"];
    patience
        .until(sio, &receipt, |done| {
            let receipt = done.json().remove(0);
            let is_whole = receipt["clients"] == json!(2) && receipt["missing_servers"] == json!([]);
            is_whole && receipt["servers"].as_array().map(Vec::len) == Some(2)
        })
        .await;
    let nowhere = ["emit", "--receipt", "-r", "nowhere", "received"];
    let is_refused = |done: Done| done.code == Some(1) && done.stderr.contains("2 servers reported");
    patience.until(sio, &nowhere, is_refused).await;
    let is_ada = |done: Done| {
        let who = done.json();
        who.len() == 1 && who[0]["client"] == json!(ada)
    };
    patience.until(sio, &["who", "a", "--json"], is_ada).await;
    patience.until(sio, &["count"], |done| done.lines == ["2"]).await;
}

/// How often a request may find too few servers: where they have a second to announce themselves, a busy machine may
/// take longer.
struct Patience(usize);

impl Patience {
    fn with(wire: Wire) -> Self {
        Self(if wire == Wire::Postgres { 20 } else { 1 })
    }

    /// Runs a command until its outcome is as expected.
    async fn until(&self, sio: &Sio, arguments: &[&str], is_expected: impl Fn(Done) -> bool) {
        let mut outcomes = Vec::new();
        for _ in 0..self.0 {
            let done = finished(sio.start(arguments)).await;
            outcomes.push(format!("{:?}: {:?}, {}", done.code, done.lines, done.stderr));
            if is_expected(done) {
                return;
            }
        }
        panic!("{arguments:?}: {outcomes:#?}");
    }
}

async fn rooms_change_and_clients_go(sio: &Sio, fleet: &mut Fleet) {
    let [ada, bob] = fleet.ids.clone();
    sio.run(&["enter-room", &bob, "a"]).await;
    sio.run(&["emit", "-r", "a", "to both"]).await;
    sio.run(&["leave-room", &ada, "a"]).await;
    sio.run(&["emit", "-r", "a", "to bob"]).await;
    sio.run(&["close-room", "a"]).await;
    sio.run(&["emit", "-r", "a", "nowhere"]).await;
    let [for_ada, for_bob] = fleet.events().await;
    assert_eq!(without_receipts(for_ada), ["to both"]);
    assert_eq!(without_receipts(for_bob), ["to both", "to bob"]);

    let unknown = sio.run(&["disconnect", "unknown"]).await;
    assert!(unknown.stderr.contains("no client \"unknown\""), "{}", unknown.stderr);
    assert!(!unknown.stderr.contains("python"), "{}", unknown.stderr);
    sio.run(&["disconnect", &ada]).await;
    fleet.clients[0].disconnected(DEADLINE).await;
}

fn without_receipts(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| name != "received");
    names
}

#[tokio::test]
async fn the_wire_may_be_named_by_the_environment() {
    let mut fleet = Fleet::start(Wire::Classic).await;
    let prefix = format!("--wire-prefix={}", fleet.prefix);
    let variables = [("SIO_WIRE", "node-classic"), ("SIO_URL", &*fleet.url)];
    assert_eq!(run(&["emit", "event", &prefix], &variables).await.code, Some(0));
    assert_eq!(fleet.clients[0].next_message(DEADLINE).await.name, "event");
    // The option outranks it, and finds no server of ours.
    let python = ["count", "--wire=python", "--timeout=1s", "--channel", &fleet.prefix];
    let counted = run(&python, &variables).await;
    assert_eq!(counted.code, Some(1), "{}", counted.stderr);
    assert!(
        counted.stderr.contains("no server on this channel"),
        "{}",
        counted.stderr
    );
}

#[tokio::test]
async fn wrong_uses_are_refused_before_anything_is_sent() {
    let none = "--url=redis://127.0.0.1:1";
    for (arguments, words) in [
        (&["emit", "e", "--wire=node", none][..], "node-classic"),
        (
            &["emit", "e", "--wire=node-classic", "--channel=c", none],
            "--channel has no effect",
        ),
        (
            &["emit", "e", "--wire=node-sharded", "--wire-stream=s", none],
            "--wire-stream and --wire-stream-count need --wire node-streams",
        ),
        (
            &["count", "--wire=node-classic", "--wire-stream-count=2", none],
            "need --wire node-streams",
        ),
        (
            &["count", "--wire=node-streams-0.2", "--wire-sharded-pub-sub", none],
            "--wire-sharded-pub-sub needs --wire node-streams",
        ),
        (
            &["count", "--wire=node-streams", "--wire-table=t", none],
            "--wire-table needs --wire node-postgres",
        ),
        (
            &["emit", "e", "--wire=node-postgres", none],
            "needs PostgreSQL as the broker",
        ),
        (
            &["emit", "e", "--wire=node-classic", "--url=postgres://127.0.0.1:1/x"],
            "need a broker with topics: Redis",
        ),
        (&["who", "--wire-prefix=p", none], "--wire-prefix needs --wire node-"),
        (
            &["emit", "e", "--wire=node-classic", "--url=amqp://127.0.0.1:1"],
            "need a broker with topics: Redis",
        ),
        (
            &["emit", "e", "--wire=node-classic", "--url=kafka://127.0.0.1:1"],
            "need a broker with topics: Redis",
        ),
        (&["rooms", "--wire=node-streams", none], "do not list their rooms"),
        (&["servers", "--wire=node-streams", none], "do not report"),
    ] {
        let refused = run(arguments, &[]).await;
        assert_eq!(refused.code, Some(2), "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(words), "{arguments:?}: {}", refused.stderr);
    }
    let refused = run(&["emit", "e", none], &[("SIO_WIRE", "nodejs")]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("SIO_WIRE names none of the wires python, node-classic")
    );
}

#[tokio::test]
async fn a_server_with_a_wire_that_cannot_work_does_not_start() {
    let none = "--url=redis://127.0.0.1:1";
    for (arguments, words) in [
        (
            &["serve", "--listen=0", "--wire=node", none][..],
            "expected one of python, node-classic",
        ),
        (
            &["serve", "--listen=0", "--wire=node-classic", "--channel=c", none],
            "--channel: has no effect on a wire of Node",
        ),
        (
            &["serve", "--listen=0", "--wire-prefix=p", none],
            "--wire-prefix: needs a wire of Node",
        ),
        (
            &["serve", "--listen=0", "--wire=node-sharded", "--wire-stream=s", none],
            "--wire-stream: needs node-streams",
        ),
        (&["serve", "--listen=0", "--wire=node-sharded"], "the embedded broker"),
        (&["serve", "--listen=0", "--wire=node-postgres"], "the embedded broker"),
        (
            &["serve", "--listen=0", "--wire=node-postgres", none],
            "needs PostgreSQL as the broker",
        ),
        (&["config", "check", "--wire=node-streams"], "the embedded broker"),
        (
            &["serve", "--listen=0", "--wire=node-classic", "--url=amqp://127.0.0.1:1"],
            "need a broker with topics: Redis",
        ),
        (
            &[
                "serve",
                "--listen=0",
                "--wire=node-classic",
                "--url=kafka://127.0.0.1:1",
            ],
            "need a broker with topics: Redis",
        ),
    ] {
        let refused = run(arguments, &[]).await;
        assert_eq!(refused.code, Some(2), "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(words), "{arguments:?}: {}", refused.stderr);
    }
}

#[tokio::test]
async fn a_command_that_knows_no_wire_does_not_look_at_another_channel() {
    for command in ["listen", "doctor"] {
        let refused = run(&[command, "--url=redis://127.0.0.1:1"], &[("SIO_WIRE", "node-classic")]).await;
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("SIO_WIRE names a wire of Node"),
            "{}",
            refused.stderr
        );
    }
}

#[tokio::test]
async fn a_fleet_that_is_not_there_is_told() {
    let url = integration::brokers::RedisBroker::shared().await.url();
    let prefix = unique_channel();
    let options = ["--wire=node-sharded", "--wire-prefix", &prefix, "--url", url];
    for command in [&["count"][..], &["who"], &["emit", "--receipt", "e"]] {
        let done = run(&[command, &options].concat(), &[]).await;
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        assert!(done.stderr.contains("--wire-prefix is not theirs"), "{}", done.stderr);
    }
}
