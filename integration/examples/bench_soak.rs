//! One client counts what comes through a broker: `bench_soak SERVER_URL COUNT NAME=PID[,NAME=PID] EMITTER...`.
//!
//! Joins room `r` of a server such as `bench_server`, runs the emitter's command with `COUNT` as its last argument, and receives `m` until
//! nothing has come for ten seconds or all have. The stamps at the front of the messages of one emitter only grow, so that they tell order
//! and doubles. Prints counts, messages per second, and what the named processes used of processor and memory, as one line of JSON.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;
type AnyError = Box<dyn std::error::Error>;

/// How long nothing may come before what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, count, processes, program, rest @ ..] = &arguments[..] else {
        return Err("usage: bench_soak SERVER_URL COUNT NAME=PID[,NAME=PID] EMITTER...".into());
    };
    let expected: u64 = count.parse()?;
    let processes: Vec<(&str, u32)> = processes.split(',').map(named_pid).collect::<Result<_, _>>()?;

    let mut client = join(server).await?;
    let before: Vec<f64> = processes.iter().map(|(_, pid)| cpu_seconds(*pid)).collect();
    let start = Instant::now();
    let mut emitter = Command::new(program);
    emitter.args(rest).arg(count).stdout(Stdio::piped()).kill_on_drop(true);
    let emitter = emitter.spawn()?;
    let seen = receive(&mut client, expected).await?;
    let emitter = timeout(PATIENCE, emitter.wait_with_output()).await??;

    let used: BTreeMap<&str, Value> = processes
        .iter()
        .zip(before)
        .map(|((name, pid), before)| {
            let cpu_us = (cpu_seconds(*pid) - before) * 1e6 / expected as f64;
            let rss_mib = |field| status_kib(*pid, field) as f64 / 1024.0;
            let used = json!({
                "cpu_us_per_message": cpu_us, "rss_mib": rss_mib("VmRSS:"), "peak_rss_mib": rss_mib("VmHWM:")
            });
            (*name, used)
        })
        .collect();
    let seconds = (seen.last - start).as_secs_f64();
    let report = json!({
        "expected": expected, "received": seen.count, "out_of_order_or_double": seen.disorder,
        "seconds": seconds, "messages_per_s": seen.count as f64 / seconds,
        "processes": used, "emitter": serde_json::from_slice::<Value>(&emitter.stdout).unwrap_or(Value::Null),
    });
    println!("{report}");
    Ok(())
}

/// Connects, and is in the room when it returns.
async fn join(server: &str) -> Result<Client, AnyError> {
    let (mut client, _) = connect_async(format!("{server}/socket.io/?EIO=4&transport=websocket")).await?;
    client.send(Message::text("40")).await?;
    client.send(Message::text("420[\"join\",\"r\"]")).await?;
    while let Some(message) = client.next().await {
        if matches!(message?, Message::Text(text) if text.starts_with("430")) {
            return Ok(client);
        }
    }
    Err("the server did not let the client join".into())
}

struct Seen {
    count: u64,
    /// Messages whose stamp is not above that of the one before.
    disorder: u64,
    last: Instant,
}

async fn receive(client: &mut Client, expected: u64) -> Result<Seen, AnyError> {
    let mut seen = Seen {
        count: 0,
        disorder: 0,
        last: Instant::now(),
    };
    let mut newest = 0;
    while seen.count < expected {
        let Ok(message) = timeout(PATIENCE, client.next()).await else {
            break;
        };
        let text = match message.ok_or("the server closed the connection")?? {
            Message::Text(text) => text,
            Message::Close(why) => return Err(format!("the server closed the connection: {why:?}").into()),
            _ => continue,
        };
        if text.as_str() == "2" {
            client.send(Message::text("3")).await?;
            continue;
        }
        let Some(stamp) = text.strip_prefix("42[\"m\",\"").and_then(|rest| rest.get(..16)) else {
            continue;
        };
        let stamp: u64 = stamp.parse()?;
        seen.count += 1;
        seen.disorder += u64::from(stamp <= newest);
        newest = newest.max(stamp);
        seen.last = Instant::now();
    }
    Ok(seen)
}

fn named_pid(text: &str) -> Result<(&str, u32), AnyError> {
    let (name, pid) = text.split_once('=').ok_or("a process is NAME=PID")?;
    Ok((name, pid.parse()?))
}

/// The processor time of a process and all its threads; 0 if it is gone.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .flat_map(str::parse::<f64>);
    ticks.sum::<f64>() / rustix::param::clock_ticks_per_second() as f64
}

fn status_kib(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
