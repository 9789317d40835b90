//! The commands of `docs/production.md`, in an empty folder, by a shell.

use std::path::Path;
use std::time::Duration;

use integration::brokers::{RedisBroker, unique_channel};
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::process::Process;
use integration::{DEADLINE, tools};
use serde_json::json;
use tokio::process::Command;

use super::front::{replaced, written};
use super::haproxy;
use crate::served::lasting_port;
use crate::support::eventually;

const CHECKLIST: &str = include_str!("../../../docs/production.md");

/// Returns the blocks of code of one kind, in their order.
fn blocks(kind: &str) -> Vec<&'static str> {
    let begin = format!("```{kind}\n");
    let blocks = CHECKLIST.split(&begin).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A shell whose commands are those of the document. Its prompt answers each with a line of its own.
struct Shell(Process);

impl Shell {
    fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new("bash");
        // Job control makes `%1` mean something; background jobs print to files.
        let each = "while read -r line; do eval \"$line\"; echo \"code $?\"; done";
        command.args(["-m", "-c", &format!("trap 'kill -KILL $(jobs -p)' EXIT; {each}")]);
        let path = tools::sio().parent().unwrap().display().to_string();
        let path = format!(
            "{path}:{}:{}",
            tools::haproxy().parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        command
            .current_dir(folder)
            .env("PATH", path)
            .envs(variables.iter().copied());
        command.env_remove("RUST_LOG").env_remove("SIO_URL");
        Self(Process::spawn("the shell of docs/production.md", command))
    }

    async fn run(&mut self, line: &str) {
        self.0.send_line(line).await;
        let answer = self.0.expect_line(DEADLINE, |line| line.starts_with("code ")).await;
        assert_eq!(answer, "code 0", "{line}: {}", self.0.stderr());
    }
}

impl Drop for Shell {
    /// Ends the input, at whose end the shell ends what it has started.
    fn drop(&mut self) {
        self.0.close_stdin();
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_checklist_does_what_it_says() {
    let (broker, channel) = (RedisBroker::shared().await.url().to_owned(), unique_channel());
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "sio.toml", blocks("toml")[0]);
    written(folder.path(), "url", &broker);
    let ports = [(); 5]
        .map(|()| lasting_port())
        .map(|listener| listener.local_addr().unwrap());
    let [one, two, front, first_probed, second_probed] = ports.map(|address| address.to_string());
    let config = replaced(haproxy::ROLLING, "bind :8080", &format!("bind {front}"));
    let config = replaced(&config, "127.0.0.1:3001", &one);
    let config = replaced(&config, "127.0.0.1:3002", &two);
    let config = replaced(&config, "    server three 127.0.0.1:3003\n", "");
    written(folder.path(), "haproxy.cfg", &config);
    let url_file = folder.path().join("url").display().to_string();
    let variables = [("SIO_URL_FILE", url_file.as_str()), ("SIO_CHANNEL", channel.as_str())];
    let mut shell = Shell::start(folder.path(), &variables);

    let commands = blocks("console").concat();
    let commands = commands.lines().map(|line| line.strip_prefix("$ ").expect("a command"));
    let mut client: Option<RealClient> = None;
    for command in commands {
        let here = command.replace("127.0.0.1:3001", &one).replace("127.0.0.1:3002", &two);
        let here = here
            .replace("127.0.0.1:9101", &first_probed)
            .replace("127.0.0.1:9102", &second_probed);
        let is_served = here.starts_with("sio serve");
        let here = match here.strip_suffix('&') {
            Some(job) => format!("{job} > /dev/null &"),
            None => here,
        };
        shell.run(&here).await;
        if is_served {
            let address = if here.contains(&one) { &one } else { &two };
            eventually("the server listens", || std::net::TcpStream::connect(address).is_ok()).await;
        }
        if command.starts_with("haproxy") {
            eventually("the proxy listens", || std::net::TcpStream::connect(&front).is_ok()).await;
            let token = std::fs::read_to_string(folder.path().join("token")).unwrap();
            let mut options = ConnectOptions::to(&format!("http://{front}")).only("websocket");
            options.auth = Some(json!({ "token": token.trim() }));
            client = Some(RealClient::connected(Kind::Node, &options).await);
        }
        if command.starts_with("sio emit") {
            let message = client.as_mut().expect("connected before").next_message(DEADLINE).await;
            assert_eq!(
                (message.name.as_str(), message.args),
                ("news", vec![json!({"hello": "world"})])
            );
        }
    }
}
