//! A server with the HTTP API, the official client in a room, and a folder with the files of a recipe.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gateway::api::{Api, ApiConfig, ApiKey};
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::process::Process;
use integration::proxy::TcpProxy;
use integration::{DEADLINE, app, managers, tools};
use manager_api::Emitter;
use serde_json::{Value, json};
use socket_io::SocketIo;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::{eventually, within};

pub(super) const API_KEY: &str = "a-key-of-the-tests-with-32-bytes-and-more";

/// Stands before `sio` on the path: writes down each exit code of it, and ends the first call that succeeded with 1 all
/// the same. The broker has accepted the event, and its worker does not learn that.
const LOSING_SIO: &str = r#"#!/bin/sh
"$REAL_SIO" "$@"
code=$?
echo "$code" >>"$STAGE/codes"
if [ "$code" = 0 ] && mkdir "$STAGE/lost" 2>/dev/null; then exit 1; fi
exit "$code"
"#;

pub(super) struct Stage {
    io: SocketIo,
    broker: Emitter,
    client: RealClient,
    folder: TempDir,
    /// The HTTP API, through a proxy.
    pub(super) api: TcpProxy,
}

impl Stage {
    /// Starts a server on a channel with a client in a room; `files` are those of a recipe, in `examples/workers`.
    pub(super) async fn start(url: &str, channel: &str, room: &str, files: &[&str]) -> Self {
        let io = SocketIo::builder().manager(managers::on_channel(url, channel)).build();
        app::register(&io);
        within("the subscription", io.ready()).await;
        let api = Api::new(io.clone(), [ApiKey::new(API_KEY).unwrap()], ApiConfig::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = socket_io::service::serve_with(listener, io.clone(), api.service(), std::future::pending());
        tokio::spawn(serving);
        let mut client = RealClient::connected(Kind::Node, &ConnectOptions::to(&format!("http://{address}"))).await;
        let joined = client.emit_with_ack("join", json!([room]), DEADLINE).await;
        assert_eq!(joined, Some(vec![json!(true)]));
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let copy = folder.path().join(Path::new(file).file_name().unwrap());
            fs::copy(recipe(file), copy).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        fs::create_dir(folder.path().join("bin")).unwrap();
        let losing = folder.path().join("bin/sio");
        fs::write(&losing, LOSING_SIO).unwrap();
        fs::set_permissions(&losing, fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            io,
            broker: Emitter::new(managers::on_channel(url, channel)),
            client,
            folder,
            api: TcpProxy::start(address.to_string()).await,
        }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a command in the folder of the recipe. `sio` in it is the one that loses an answer.
    pub(super) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let paths = [
            self.folder().join("bin"),
            tools::python().parent().unwrap().to_owned(),
            PathBuf::from(std::env::var("PATH").unwrap()),
        ];
        let path: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder());
        for name in [
            "SIO_URL",
            "SIO_URL_FILE",
            "SIO_CHANNEL",
            "SIO_WIRE",
            "SIO_LOG_FORMAT",
            "RUST_LOG",
        ] {
            command.env_remove(name);
        }
        command
            .env("PATH", path.join(":"))
            .env("NODE_PATH", tools::node_modules())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("REAL_SIO", tools::sio())
            .env("STAGE", self.folder())
            .env("SIO_API", format!("http://{}", self.api.addr()))
            .env("SIO_API_KEY", API_KEY);
        command
    }

    /// Starts the worker of a recipe by the command in the first line of its file, with more arguments.
    pub(super) fn worker(&self, file: &str, more: &str, variables: &[(&str, &str)]) -> Process {
        let text = fs::read_to_string(recipe(file)).unwrap();
        let first = text
            .lines()
            .next()
            .unwrap()
            .trim_start_matches(['#', '/', ' '])
            .to_owned();
        let mut command = self.command("bash", &["-c", &format!("exec {first} {more}")]);
        command.envs(variables.iter().copied());
        Process::spawn(&first, command)
    }

    /// Runs a command to its end, which must be a success.
    pub(super) async fn run(&self, mut command: Command) -> String {
        command.stdin(std::process::Stdio::null()).kill_on_drop(true);
        let output = within("the end of a command", command.output()).await.unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until `sio` was run and has ended with this code.
    pub(super) async fn ended_with(&self, code: &str) {
        let codes = self.folder().join("codes");
        let seen = || fs::read_to_string(&codes).is_ok_and(|text| text.lines().any(|line| line == code));
        eventually(&format!("sio ends with {code}"), seen).await;
    }

    /// The next event of the client must be this.
    pub(super) async fn expect(&mut self, event: &str, data: Value) {
        let message = self.client.next_message(DEADLINE).await;
        assert_eq!((message.name.as_str(), message.args), (event, vec![data]));
    }

    /// Waits until the event came again and was dropped, and checks that the client got nothing more.
    pub(super) async fn ends_without_another(mut self) {
        let repeats = || self.io.metrics().hub.repeats;
        eventually("the job runs again, and its event is dropped", || repeats() >= 1).await;
        self.broker.emit("end", &()).await.unwrap();
        let more = self.client.messages_before("end").await;
        assert!(more.is_empty(), "the client got more: {more:?}");
    }
}

/// Returns a file of `examples/workers`.
pub(super) fn recipe(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/workers")
        .join(file)
}
