//! A server in a process of its own: `sio-test-node REDIS_URL CHANNEL [script]`, driven by lines of JSON as the scripts of `clients` are;
//! with `script`, one that has what random scripts need.
//!
//! Says `{"event": "listening", "port": N}`; takes the commands `report`, `servers`, `act` (an `Act`), and `emit` (`room`, `origin`,
//! `count`, `in_flight`, `padding`), each ending in `{"event": "done", "id": N, "result": …}`. Stops when there are no more commands, and
//! says `{"event": "ended", "tasks": N}`.

use std::alloc::System;
use std::time::Duration;

use integration::app::{self, Load};
use integration::script::{self, Act};
use manager_redis::RedisManager;
use serde_json::{Value, json};
use socket_io::SocketIo;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The longest time until the tasks of a stopped server end.
const LAST_TASKS: Duration = Duration::from_secs(5);

// As many threads everywhere: each has buffers of its own.
#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(channel)) = (arguments.next(), arguments.next()) else {
        return Err("usage: sio-test-node REDIS_URL CHANNEL [script]".into());
    };
    let manager = RedisManager::new(&url, app::hasty(&channel))?;
    let mut builder = SocketIo::builder().manager(manager);
    let is_for_scripts = arguments.next().is_some_and(|name| name == "script");
    if is_for_scripts {
        builder = builder.configure(script::hasten);
    }
    let io = builder.build();
    match is_for_scripts {
        true => script::register(&io),
        false => app::register(&io),
    }
    io.ready().await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&json!({ "event": "listening", "port": listener.local_addr()?.port() }));
    socket_io::serve(listener, io.clone(), obey(io)).await?;
    say(&json!({ "event": "ended", "tasks": tasks_left().await }));
    Ok(())
}

/// Returns the number of tasks that do not end.
async fn tasks_left() -> usize {
    let metrics = Handle::current().metrics();
    let ended = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let _ = tokio::time::timeout(LAST_TASKS, ended).await;
    metrics.num_alive_tasks()
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
    let mut command: Value = serde_json::from_str(line)?;
    let result = match command["cmd"].as_str() {
        Some("report") => report(io),
        Some("servers") => num_servers(io).await,
        Some("act") => act(io, serde_json::from_value(command["act"].take())?),
        Some("emit") => emit(io, &command).await,
        _ => return Err("unknown command".into()),
    };
    Ok(json!({ "event": "done", "id": command["id"], "result": result }))
}

/// Returns the number of servers that respond, this one included; null if the request fails.
async fn num_servers(io: &SocketIo) -> Value {
    let servers = io.servers(script::PATIENCE).await;
    json!(servers.ok().map(|servers| servers.found.len()))
}

fn report(io: &SocketIo) -> Value {
    // Before the report itself is made.
    let heap = HEAP.stats();
    let mut report = app::report(io);
    report["live_bytes"] = json!(heap.bytes_allocated.wrapping_sub(heap.bytes_deallocated));
    report["live_blocks"] = json!(heap.allocations.wrapping_sub(heap.deallocations));
    report
}

/// Starts work that may take a while and is not waited for, as a handler of a server is.
fn act(io: &SocketIo, act: Act) -> Value {
    let name = format!("{act:?}");
    let performed = act.perform(io);
    tokio::spawn(async move {
        if let Err(error) = performed.await {
            eprintln!("{name}: {error}");
        }
    });
    Value::Null
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
