//! A broker, and the binary as a child process.

#![allow(clippy::unwrap_used, reason = "in a test, what fails is to panic")]
#![cfg_attr(
    not(feature = "serve"),
    allow(dead_code, reason = "some of it is for tests of the server")
)]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::Stdio;
use std::time::Duration;

use embedded_broker::EmbeddedBroker;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// Long enough for a busy machine; a command that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// The embedded broker on a port of its own, for as long as the test runs.
pub(crate) struct Broker {
    pub(crate) url: String,
    broker: EmbeddedBroker,
    publisher: redis::aio::MultiplexedConnection,
}

impl Broker {
    pub(crate) async fn start() -> Broker {
        let broker = EmbeddedBroker::start("127.0.0.1:0").await.unwrap();
        let url = broker.url().to_owned();
        let client = redis::Client::open(url.as_str()).unwrap();
        let publisher = client
            .get_multiplexed_async_connection_with_config(&patient())
            .await
            .unwrap();
        Broker { url, broker, publisher }
    }

    pub(crate) async fn publish(&self, channel: &str, message: &str) {
        let command = redis::cmd("PUBLISH").arg(channel).arg(message).to_owned();
        let _: usize = command.query_async(&mut self.publisher.clone()).await.unwrap();
    }

    pub(crate) async fn subscribe(&self, channel: &str) -> Channel {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        let mut subscription = client.get_async_pubsub().await.unwrap();
        subscription.subscribe(channel).await.unwrap();
        Channel {
            messages: subscription.into_on_message(),
        }
    }

    pub(crate) async fn wait_for_subscriber(&self, channel: &str) {
        let stats = self.broker.stats();
        let subscribed = async {
            while stats.num_subscribers(channel) == 0 {
                // Each turn is an exchange with the broker, which therefore gets on with its work.
                let _: () = redis::cmd("PING")
                    .query_async(&mut self.publisher.clone())
                    .await
                    .unwrap();
            }
        };
        timeout(PATIENCE, subscribed).await.expect("a subscription is made");
    }
}

/// How long the client may wait, in place of its half second: for a busy machine.
fn patient() -> redis::AsyncConnectionConfig {
    redis::AsyncConnectionConfig::new()
        .set_response_timeout(Some(PATIENCE))
        .set_connection_timeout(Some(PATIENCE))
}

/// What others publish.
pub(crate) struct Channel {
    messages: redis::aio::PubSubStream,
}

impl Channel {
    /// The next message, also one that servers and emitters send each other.
    pub(crate) async fn next_of_all(&mut self) -> Value {
        let message = timeout(PATIENCE, self.messages.next()).await;
        let message = message.expect("no message came").unwrap();
        serde_json::from_slice(message.get_payload_bytes()).unwrap()
    }

    pub(crate) async fn next(&mut self) -> Value {
        loop {
            let message = self.next_of_all().await;
            // What servers and emitters ask each other is not for the test.
            if !message["method"]
                .as_str()
                .is_some_and(|method| method.starts_with("sio_"))
            {
                return message;
            }
        }
    }
}

/// The URL, with a password, of a port that refuses connections.
pub(crate) fn dead_url() -> String {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("redis://me:secret@{}", socket.local_addr().unwrap());
    // Bound for as long as the tests run: the system gives the port to no other socket.
    std::mem::forget(socket);
    url
}

/// An address where a command may listen: of a port that the system hands out to no other socket meanwhile.
pub(crate) fn free_address() -> String {
    // Outside the range of those for outgoing connections.
    let random = std::iter::repeat_with(|| RandomState::new().build_hasher().finish());
    let addresses = random.map(|random| format!("127.0.0.1:{}", 15_000 + random % 15_000));
    let mut free = addresses.filter(|address| std::net::TcpListener::bind(address).is_ok());
    free.next().expect("random numbers have no end")
}

/// The URL, with a password, of a server that accepts connections and never says a word.
pub(crate) async fn silent_url() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://me:secret@{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    url
}

/// Checks that an event that `sio` emits into a room reaches a client of the server.
pub(crate) async fn reaches_a_client(broker: &Broker, addr: &str) {
    let mut client = Client::connect(addr, "&room=r").await;
    let done = Sio::new(&["emit", "-r", "r", "news"]).url(&broker.url).run("").await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    client.expect("42[\"news\"]").await;
}

/// The whole answer to a GET.
pub(crate) async fn http_get(addr: &str, path: &str) -> String {
    http_get_with(addr, path, "").await
}

/// As `http_get`, with more headers, each with its line end.
pub(crate) async fn http_get_with(addr: &str, path: &str, headers: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .expect("no answer came")
        .unwrap();
    answer
}

/// A Socket.IO client that sees packets as they are.
pub(crate) struct Client {
    pub(crate) id: String,
    socket: tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
}

impl Client {
    /// Connects to `/`, with more of a query.
    pub(crate) async fn connect(addr: &str, query: &str) -> Client {
        let mut client = Client::open(addr, query).await;
        client.send("40").await;
        let accepted = client.next().await;
        let accepted: Value = serde_json::from_str(accepted.strip_prefix("40").unwrap()).unwrap();
        client.id = accepted["sid"].as_str().unwrap().to_owned();
        client
    }

    /// Opens a connection, and joins no namespace.
    pub(crate) async fn open(addr: &str, query: &str) -> Client {
        let url = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket{query}");
        let connecting = timeout(PATIENCE, tokio_tungstenite::connect_async(url));
        let (socket, _) = connecting.await.expect("no handshake").unwrap();
        let mut client = Client {
            id: String::new(),
            socket,
        };
        assert!(client.next().await.starts_with('0'));
        client
    }

    pub(crate) async fn send(&mut self, packet: &str) {
        self.socket.send(Message::text(packet)).await.unwrap();
    }

    /// The next packet that is not a heartbeat.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            let message = timeout(PATIENCE, self.socket.next())
                .await
                .expect("no packet came")
                .unwrap()
                .unwrap();
            match message.into_text().unwrap().as_str() {
                "2" => self.send("3").await,
                packet => return packet.to_owned(),
            }
        }
    }

    /// Waits until the server has closed the connection.
    pub(crate) async fn closed(mut self) {
        let closed = async { while let Some(Ok(_)) = self.socket.next().await {} };
        timeout(PATIENCE, closed).await.expect("the connection stays open");
    }

    pub(crate) async fn expect(&mut self, packet: &str) {
        assert_eq!(self.next().await, packet);
    }
}

/// A command line to be run.
pub(crate) struct Sio {
    command: Command,
}

/// How it ended.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sio {
    pub(crate) fn new(args: &[&str]) -> Sio {
        Sio::of(Command::new(env!("CARGO_BIN_EXE_sio")), args)
    }

    /// As an argument of another command.
    #[cfg(all(target_os = "linux", feature = "serve"))]
    pub(crate) fn under(other: &[&str], args: &[&str]) -> Sio {
        let mut command = Command::new(other[0]);
        command.args(&other[1..]).arg(env!("CARGO_BIN_EXE_sio"));
        Sio::of(command, args)
    }

    fn of(mut command: Command, args: &[&str]) -> Sio {
        command
            .args(args)
            .env_remove("SIO_URL")
            .env_remove("SIO_CHANNEL")
            .env_remove("SIO_URL_FILE")
            .env_remove("SIO_LOG_FORMAT")
            .env_remove("TRACEPARENT")
            .env_remove("SIO_CONFIG")
            .env_remove("RUST_LOG")
            .kill_on_drop(true);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Sio { command }
    }

    pub(crate) fn url(self, url: &str) -> Sio {
        self.args(&["--url", url])
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Sio {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Sio {
        self.command.env(name, value);
        self
    }

    /// Writes its standard output there instead.
    pub(crate) fn stdout(mut self, to: Stdio) -> Sio {
        self.command.stdout(to);
        self
    }

    /// Writes its standard error there instead.
    pub(crate) fn stderr(mut self, to: Stdio) -> Sio {
        self.command.stderr(to);
        self
    }

    /// Reads its standard input from there instead.
    pub(crate) fn stdin(mut self, from: Stdio) -> Sio {
        self.command.stdin(from);
        self
    }

    pub(crate) fn start(mut self) -> Running {
        let mut child = self.command.spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = child.stderr.take().map(BufReader::new);
        Running { child, stdout, stderr }
    }

    pub(crate) async fn run(self, input: &str) -> Done {
        let mut running = self.start();
        let mut stdin = running.child.stdin.take().unwrap();
        let input = input.to_owned();
        // It may end without having read all of it.
        tokio::spawn(async move { stdin.write_all(input.as_bytes()).await });
        running.finish().await
    }
}

async fn read_line(pipe: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> String {
    let mut line = String::new();
    let read = timeout(PATIENCE, pipe.read_line(&mut line));
    let num_bytes = read.await.expect("no line came").unwrap();
    assert!(num_bytes > 0, "the output ended");
    line
}

/// A process; killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<BufReader<ChildStderr>>,
}

impl Running {
    pub(crate) async fn line(&mut self) -> String {
        read_line(self.stdout.as_mut().unwrap()).await
    }

    /// The next line of its standard error.
    pub(crate) async fn error_line(&mut self) -> String {
        read_line(self.stderr.as_mut().unwrap()).await
    }

    pub(crate) fn close_stdout(&mut self) {
        self.stdout = None;
    }

    #[cfg(all(target_os = "linux", feature = "serve"))]
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let killed = Command::new("kill").args(["-s", name, &id]).status().await.unwrap();
        assert!(killed.success());
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(text.as_bytes())
            .await
            .unwrap();
    }

    /// Closes its input, waits for the end, and reads what is left of its output.
    pub(crate) async fn finish(mut self) -> Done {
        drop(self.child.stdin.take());
        self.finish_with_open_stdin().await
    }

    /// As `finish`, but its input stays open.
    pub(crate) async fn finish_with_open_stdin(mut self) -> Done {
        let _open = self.child.stdin.take();
        let mut stderr_pipe = self.stderr.take();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let mut stdout_pipe = self.stdout.take();
        let read_stdout = async {
            if let Some(pipe) = &mut stdout_pipe {
                pipe.read_to_string(&mut stdout).await.unwrap();
            }
        };
        let read_stderr = async {
            if let Some(pipe) = &mut stderr_pipe {
                pipe.read_to_string(&mut stderr).await.unwrap();
            }
        };
        let reading = async { tokio::join!(read_stdout, read_stderr, self.child.wait()) };
        let ((), (), status) = timeout(PATIENCE, reading).await.expect("it does not end");
        Done {
            code: status.unwrap().code().unwrap_or(-1),
            stdout,
            stderr,
        }
    }
}
