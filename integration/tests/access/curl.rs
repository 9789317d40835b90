//! The examples of `docs/access.md` with curl do what the document says.

use std::process::Stdio;

use gateway::api::{Api, ApiConfig, ApiKey};
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::{DEADLINE, tools};
use serde_json::{Value, json};
use socket_io::{Data, Socket, SocketIo};
use tokio::net::TcpListener;
use tokio::process::Command;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/access.md");
/// The address that the document writes.
const WRITTEN: &str = "http://127.0.0.1:3000";
const KEY: &str = "a-key-of-the-tests-with-32-bytes-and-more";

/// Each block of `sh` with curl in it, with the block of `json` behind it.
fn examples(text: &str) -> Vec<(String, Value)> {
    let blocks: Vec<(&str, &str)> = text
        .split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.split_once('\n'))
        .collect();
    let answered = blocks
        .windows(2)
        .filter(|pair| pair[0].0 == "sh" && pair[0].1.contains("curl") && pair[1].0 == "json");
    answered
        .map(|pair| {
            (
                pair[0].1.to_owned(),
                serde_json::from_str(pair[1].1).unwrap_or_else(|error| panic!("{error}: {}", pair[1].1)),
            )
        })
        .collect()
}

/// Tells whether an answer is the documented one, in which the text `…` and the number 0.5 stand for any value.
fn fits(documented: &Value, answer: &Value) -> bool {
    match (documented, answer) {
        (Value::String(any), _) if any == "…" => true,
        (Value::Number(any), Value::Number(_)) if any.as_f64() == Some(0.5) => true,
        (Value::Array(documented), Value::Array(answer)) => {
            documented.len() == answer.len() && documented.iter().zip(answer).all(|(one, other)| fits(one, other))
        }
        (Value::Object(documented), Value::Object(answer)) => {
            documented.len() == answer.len()
                && documented
                    .iter()
                    .all(|(name, value)| answer.get(name).is_some_and(|other| fits(value, other)))
        }
        _ => documented == answer,
    }
}

/// A server with the API on one address, as `sio serve` has it.
async fn serve() -> (SocketIo, String) {
    let io = SocketIo::new();
    io.namespace("/")
        .on("join", async |socket: Socket, Data(room): Data<String>| {
            socket.join(room).map(|()| "ok")
        });
    let api = Api::new(io.clone(), [ApiKey::new(KEY).unwrap()], ApiConfig::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = socket_io::service::serve_with(listener, io.clone(), api.service(), std::future::pending());
    tokio::spawn(serving);
    (io, url)
}

#[tokio::test]
async fn every_example_with_curl_answers_as_documented() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let examples = examples(&text);
    assert!(
        examples.len() >= 8,
        "{DOCUMENT} has {} examples with answers",
        examples.len()
    );
    let (_io, url) = serve().await;
    let mut client = RealClient::connected(Kind::Node, &ConnectOptions::to(&url)).await;
    assert!(client.emit_with_ack("join", json!(["lobby"]), DEADLINE).await.is_some());
    for (command, documented) in &examples {
        let output = Command::new("bash")
            .args(["-euc", &command.replace(WRITTEN, &url)])
            .env("KEY", KEY)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let answer: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{command}: {error}: {output:?}"));
        assert!(
            fits(documented, &answer),
            "{command}\nanswers {answer}\nwhere the document has {documented}"
        );
    }
    let news = client.next_message(DEADLINE).await;
    assert_eq!(
        (news.name.as_str(), news.args),
        ("news", vec![json!({"hello": "world"})])
    );
}

#[tokio::test]
async fn the_commands_about_tokens_make_and_check_one_as_documented() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let section = text
        .split("## On the command line\n")
        .nth(1)
        .expect("the section is there");
    let block = section
        .split("```sh\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let folder = tempfile::tempdir().unwrap();
    let sio = tools::sio();
    let path = format!("{}:{}", sio.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", block.expect("it has commands")])
        .env("PATH", path)
        .env_remove("SIO_TOKENS_KEY")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains("checked    good"),
        "{output:?}"
    );
}
