//! A server in a process of its own: `sio-test-node REDIS_URL CHANNEL`, driven by lines of JSON as the scripts of `clients` are.
//!
//! Says `{"event": "listening", "port": N}`; takes the commands `report`, and `emit` (`room`, `origin`, `count`, `in_flight`, `padding`), each
//! ending in `{"event": "done", "id": N, "result": …}`.

use integration::app::{self, Load};
use manager_redis::RedisManager;
use serde_json::{Value, json};
use socket_io::SocketIo;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(channel)) = (arguments.next(), arguments.next()) else {
        return Err("usage: sio-test-node REDIS_URL CHANNEL".into());
    };
    let manager = RedisManager::new(&url, app::hasty(&channel))?;
    let io = SocketIo::builder().manager(manager).build();
    app::register(&io);
    io.ready().await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&json!({ "event": "listening", "port": listener.local_addr()?.port() }));
    socket_io::serve(listener, io.clone(), obey(io)).await?;
    Ok(())
}

/// Carries out commands until there are no more.
async fn obey(io: SocketIo) {
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match carry_out(&io, &line).await {
            Ok(done) => say(&done),
            Err(error) => say(&json!({ "event": "failure", "error": format!("{line}: {error}") })),
        }
    }
}

async fn carry_out(io: &SocketIo, line: &str) -> Result<Value, Failure> {
    let command: Value = serde_json::from_str(line)?;
    let result = match command["cmd"].as_str() {
        Some("report") => app::report(io),
        Some("emit") => emit(io, &command).await,
        _ => return Err("unknown command".into()),
    };
    Ok(json!({ "event": "done", "id": command["id"], "result": result }))
}

async fn emit(io: &SocketIo, command: &Value) -> Value {
    let text = |name: &str| command[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| command[name].as_u64().unwrap_or_default();
    let load = Load {
        origin: text("origin"),
        count: number("count"),
        in_flight: number("in_flight") as usize,
        padding: number("padding") as usize,
    };
    let results = load.emit(&io.to(text("room"))).await;
    let num_accepted = results.iter().filter(|result| result.is_ok()).count();
    let error = results.iter().find_map(|result| result.as_ref().err());
    json!({ "accepted": num_accepted, "failed": results.len() - num_accepted, "error": error.map(ToString::to_string) })
}

fn say(event: &Value) {
    println!("{event}");
}
