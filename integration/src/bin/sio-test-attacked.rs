//! A server to be attacked, in a process of its own: `sio-test-attacked REDIS_URL CHANNEL FOLDER`.
//!
//! Says `{"event": "listening", "port": N, "msgpack_port": N}` and serves until SIGTERM. At the first port packets are JSON: `echo`, `join`, `leave`
//! as in the other servers of the tests; `bytes` reads a list of attachments and answers with their number; `big` sends an event of 15 MB; there
//! are administrators, whose password is `secret`, and the files of FOLDER. At the other port packets are MessagePack. The log goes to standard
//! error, with all that the options `-v` of programs would let through.

use bytes::Bytes;
use integration::app;
use manager_redis::RedisManager;
use serde_json::json;
use socket_io::admin::Admin;
use socket_io::config::Parser;
use socket_io::extract::State;
use socket_io::manager_api::Payload;
use socket_io::static_files::StaticFiles;
use socket_io::{Data, Socket, SocketIo};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The length of the event that `big` sends: below what an outbox may hold.
const BIG: usize = 15_000_000;

// As many threads everywhere: each has buffers of its own.
#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, channel, folder] = &arguments[..] else {
        return Err("usage: sio-test-attacked REDIS_URL CHANNEL FOLDER".into());
    };
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(std::io::stderr)
        .init();
    let mut terminated = signal(SignalKind::terminate())?;
    let (stop, stopped) = watch::channel(());
    let json = SocketIo::builder()
        .manager(RedisManager::new(url, app::hasty(channel))?)
        .state(Payload::new(&"x".repeat(BIG))?)
        .instrument(Admin::password("admin", "secret"))
        .build();
    register(&json);
    let msgpack = SocketIo::builder()
        .configure(|config| config.parser = Parser::MsgPack)
        .build();
    app::register(&msgpack);
    json.ready().await;
    let listeners = (
        TcpListener::bind("127.0.0.1:0").await?,
        TcpListener::bind("127.0.0.1:0").await?,
    );
    let ports = (listeners.0.local_addr()?.port(), listeners.1.local_addr()?.port());
    println!(
        "{}",
        json!({ "event": "listening", "port": ports.0, "msgpack_port": ports.1 })
    );
    let files = StaticFiles::new().dir("/", folder).service();
    let serving = async {
        tokio::join!(
            socket_io::service::serve_with(listeners.0, json, files, until(stopped.clone())),
            socket_io::serve(listeners.1, msgpack, until(stopped)),
        )
    };
    let stopping = async {
        terminated.recv().await;
        drop(stop);
    };
    let ((one, other), ()) = tokio::join!(serving, stopping);
    one?;
    Ok(other?)
}

/// Completes when the sender is dropped.
async fn until(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

fn register(io: &SocketIo) {
    app::register(io);
    io.namespace("/")
        .on("bytes", async |Data(list): Data<Vec<Bytes>>| list.len())
        .on("big", async |socket: Socket, State(big): State<Payload>| {
            socket.emit_payload("big", big).await
        });
}
