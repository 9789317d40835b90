//! The command `sio` with each broker: what `emitter-cli`'s own tests show of every subcommand on the embedded one, once on each
//! real one.

use integration::brokers::redis::ask;
use integration::brokers::{RedisBroker, unique_channel};
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::managers;
use integration::process::Process;
use integration::{DEADLINE, tools};
use manager_api::Emitter;
use serde_json::{Value, json};
use socket_io::SocketIo;
use tokio::process::Command;

use crate::support::{Client, Server, eventually, on_every_broker};

on_every_broker! {
    emit_sends_arguments_lines_and_bytes,
    emit_waits_for_answers,
    rooms_are_managed_and_clients_disconnected,
    listen_shows_what_passes_and_its_lines_can_be_emitted,
    serve_hears_the_others_and_is_heard,
}

/// A channel of a broker, to which commands are sent.
struct Channel {
    url: String,
    name: String,
}

impl Channel {
    fn new(url: &str) -> Self {
        let (url, name) = (url.to_owned(), unique_channel());
        Self { url, name }
    }

    /// A server on the channel; it makes the topic if the broker is Kafka.
    async fn server(&self) -> Server {
        let manager = managers::on_channel(&self.url, &self.name);
        Server::start(SocketIo::builder().manager(manager)).await
    }

    /// Starts the command with `arguments`.
    fn sio(&self, arguments: &[&str]) -> Process {
        let mut command = Command::new(tools::sio());
        command
            .args(arguments)
            .args(["--url", &self.url, "--channel", &self.name])
            .env_remove("SIO_URL")
            .env_remove("SIO_URL_FILE")
            .env_remove("RUST_LOG");
        Process::spawn("sio", command)
    }

    /// Runs the command, which must succeed.
    async fn run(&self, arguments: &[&str]) {
        succeeds(self.sio(arguments)).await;
    }
}

async fn succeeds(mut sio: Process) {
    sio.close_stdin();
    let status = sio.wait(DEADLINE).await;
    assert!(status.success(), "{status}: {}", sio.stderr());
}

async fn emit_sends_arguments_lines_and_bytes(url: &str) {
    let channel = Channel::new(url);
    let server = channel.server().await;
    let mut inside = Client::connect(server.address, &["lobby"]).await;
    let mut outside = Client::connect(server.address, &[]).await;
    channel
        .run(&["emit", "--room", "lobby", "news", "{\"a\":[1,null]}", "\"ü\""])
        .await;
    let news: (Value, String) = inside.event("news").await;
    assert_eq!(news, (json!({ "a": [1, null] }), "ü".to_owned()));

    let mut lines = channel.sio(&["emit", "--lines", "--room", "lobby", "line"]);
    for number in 0..100 {
        lines.send_line(&number.to_string()).await;
    }
    succeeds(lines).await;
    for number in 0..100 {
        assert_eq!(inside.event::<(u32,)>("line").await, (number,));
    }
    channel.run(&["emit", "end"]).await;
    for client in [&mut inside, &mut outside] {
        assert_eq!(client.packet().await, "42[\"end\"]");
    }
}

async fn emit_waits_for_answers(url: &str) {
    let channel = Channel::new(url);
    let server = channel.server().await;
    let mut client = Client::connect(server.address, &[]).await;
    let mut asking = channel.sio(&["emit", "--ack", "1", "-r", &client.sid, "question", "\"ready?\""]);
    let question = client.packet().await;
    let id = question
        .strip_prefix("42")
        .and_then(|rest| rest.split('[').next())
        .unwrap();
    client.send(&format!("43{id}[\"yes\",2]")).await;
    let answer: Value = serde_json::from_str(&asking.next_line(DEADLINE).await.unwrap()).unwrap();
    assert_eq!(answer["args"], json!(["yes", 2]));
    succeeds(asking).await;
}

async fn rooms_are_managed_and_clients_disconnected(url: &str) {
    let channel = Channel::new(url);
    let server = channel.server().await;
    let mut client = Client::connect(server.address, &[]).await;
    let emits = async |number: &str| channel.run(&["emit", "-r", "room", "m", number]).await;
    emits("0").await;
    channel.run(&["enter-room", &client.sid, "room"]).await;
    emits("1").await;
    channel.run(&["leave-room", &client.sid, "room"]).await;
    emits("2").await;
    channel.run(&["enter-room", &client.sid, "room"]).await;
    emits("3").await;
    channel.run(&["close-room", "room"]).await;
    emits("4").await;
    channel.run(&["disconnect", &client.sid]).await;
    for packet in ["42[\"m\",1]", "42[\"m\",3]", "41"] {
        assert_eq!(client.packet().await, packet);
    }
}

async fn listen_shows_what_passes_and_its_lines_can_be_emitted(url: &str) {
    let channel = Channel::new(url);
    // Two publishers, whose messages are ordered only by the one partition that a server creates.
    let server = channel.server().await;
    let mut listener = channel.sio(&["-v", "listen", "--json"]);
    eventually("it listens", || listener.stderr().contains("listening")).await;
    channel
        .run(&["emit", "--room", "a", "--room", "b", "seen", "[1,{\"x\":null}]"])
        .await;
    // The server may have announced itself meanwhile.
    let (line, seen) = loop {
        let line = listener.next_line(DEADLINE).await.unwrap();
        let seen: Value = serde_json::from_str(&line).unwrap();
        if seen["method"] != "sio_hello" {
            break (line, seen);
        }
    };
    assert_eq!((&seen["method"], &seen["event"]), (&json!("emit"), &json!("seen")));
    assert_eq!(
        (&seen["room"], &seen["args"]),
        (&json!(["a", "b"]), &json!([[1, { "x": null }]]))
    );

    let mut member = Client::connect(server.address, &["b"]).await;
    let mut again = channel.sio(&["emit", "--lines"]);
    again.send_line(&line).await;
    succeeds(again).await;
    assert_eq!(member.packet().await, "42[\"seen\",[1,{\"x\":null}]]");
    listener.signal("TERM");
    assert!(listener.wait(DEADLINE).await.success(), "{}", listener.stderr());
}

async fn serve_hears_the_others_and_is_heard(url: &str) {
    let channel = Channel::new(url);
    let ours = channel.server().await;
    let mut serving = channel.sio(&["-v", "serve", "--listen", "127.0.0.1:0"]);
    let line = serving.next_line(DEADLINE).await.unwrap();
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
    let mut there = Client::connect(address.parse().unwrap(), &[]).await;
    let mut here = Client::connect(ours.address, &["room"]).await;
    assert_eq!(there.call("join", "room").await, "[\"ok\"]");
    ours.io.to("room").emit("from the other server", &1).await.unwrap();
    assert_eq!(there.packet().await, "42[\"from the other server\",1]");
    assert_eq!(here.packet().await, "42[\"from the other server\",1]");
    channel.run(&["disconnect", &there.sid]).await;
    assert_eq!(there.packet().await, "41");
    serving.signal("TERM");
    assert!(serving.wait(DEADLINE).await.success(), "{}", serving.stderr());
}

/// By each way that `sio serve --help` names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_rooms_named_at_once_are_all_joined_by_real_clients() {
    let channel = Channel::new(RedisBroker::shared().await.url());
    let mut serving = channel.sio(&["serve", "--listen", "127.0.0.1:0"]);
    let line = serving.next_line(DEADLINE).await.unwrap();
    let address = line.split("http://").nth(1).unwrap().trim_end_matches('/');
    let emitter = Emitter::new(managers::on_channel(&channel.url, &channel.name));
    for (kind, in_url, query) in [
        (Kind::Node, "/?room=a,b", None),
        (Kind::Node, "", Some(json!({ "room": ["a", "b"] }))),
        (Kind::Node45, "", Some(json!({ "room": ["a", "b"] }))),
        (Kind::Python, "/?room=a&room=b", None),
        (Kind::Python, "/?room=a,b", None),
    ] {
        let mut options = ConnectOptions::to(&format!("http://{address}{in_url}"));
        options.query = query;
        let mut client = RealClient::connected(kind, &options).await;
        for room in ["a", "b"] {
            emitter.to(room).emit("news", room).await.unwrap();
            let message = client.next_message(DEADLINE).await;
            assert_eq!(message.args, [json!(room)], "{kind:?} {in_url}");
        }
    }
}

/// Makes the user `me`, or gives it another password, and ends all its connections.
async fn set_password(broker: &str, password: &str) {
    let password = format!(">{password}");
    let rules = ["ACL", "SETUSER", "me", "reset", "on", &password, "&*", "+@all"];
    for command in [&rules[..], &["CLIENT", "KILL", "USER", "me"]] {
        let mut asked = ::redis::Cmd::new();
        for word in command {
            asked.arg(*word);
        }
        ask::<::redis::Value>(broker, &asked).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_ended_by_a_refusal_at_its_start_and_not_by_one_later() {
    let broker = RedisBroker::start().await;
    set_password(&broker.url(), "right").await;
    let url_with = |password: &str| broker.url().replace("redis://", &format!("redis://me:{password}@"));
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let mut refused = Channel::new(&url_with("wrong")).sio(&serve);
    let status = refused.wait(DEADLINE).await;
    let said = refused.stderr();
    assert_eq!(status.code(), Some(1), "{said}");
    assert_eq!(
        (said.lines().count(), said.matches("WRONGPASS").count()),
        (1, 1),
        "{said}"
    );

    let channel = Channel::new(&url_with("right"));
    let mut serving = channel.sio(&serve);
    let line = serving.next_line(DEADLINE).await.unwrap();
    let address = line.split("http://").nth(1).unwrap().trim().trim_end_matches('/');
    let mut client = Client::connect(address.parse().unwrap(), &[]).await;
    set_password(&broker.url(), "another").await;
    eventually("the refusal is logged, and logged again", || {
        serving.stderr().matches("WRONGPASS").count() > 1
    })
    .await;
    assert_eq!(
        client.call("join", "room").await,
        "[\"ok\"]",
        "local clients are served"
    );
    set_password(&broker.url(), "right").await;
    eventually("it is back", || serving.stderr().contains("may have been missed")).await;
    channel.run(&["emit", "-r", "room", "back"]).await;
    assert_eq!(client.packet().await, "42[\"back\"]");
    serving.signal("TERM");
    assert!(serving.wait(DEADLINE).await.success(), "{}", serving.stderr());
}
