//! Acknowledgements, both ways: `acks [ADDRESS]`.
//!
//! ```js
//! await client.emitWithAck("add", 2, 3);              // 5
//! await client.emitWithAck("divide", 1, 0);           // { error: "division by zero" }
//! client.on("ready?", (round, reply) => reply(true)); // an event of the server
//! await client.emitWithAck("ask the others", 7);      // { ready: 2, asked: 2 }
//! ```

use std::time::Duration;

use examples::Failure;
use serde::Serialize;
use siokit::{Ack, Data, Error, Socket, SocketIo};

/// Clients that acknowledge later do not count.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Votes {
    ready: usize,
    asked: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Divided {
    Quotient(i64),
    Error(&'static str),
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let io = SocketIo::new();
    io.namespace("/")
        .on_connect(async |socket: Socket| socket.join("players").is_ok())
        // The return value of a handler is the acknowledgement, …
        .on("add", async |Data((a, b)): Data<(i64, i64)>| a + b)
        // … and a failure that the client should know of is such a value, too.
        .on("divide", async |Data((a, b)): Data<(i64, i64)>| {
            Ack(match a.checked_div(b) {
                Some(quotient) => Divided::Quotient(quotient),
                None => Divided::Error("division by zero"),
            })
        })
        .on("ask the others", ask_the_others);
    examples::serve(io).await
}

/// Emits to all other clients of the room, on every server, and counts those that are ready.
async fn ask_the_others(socket: Socket, Data(round): Data<u32>) -> Result<Ack<Votes>, Error> {
    let others = socket.to("players").timeout(TIMEOUT);
    let report = others.emit_and_collect("ready?", &round).await?;
    let is_ready = |payload: &siokit::Payload| payload.parse::<bool>().unwrap_or(false);
    Ok(Ack(Votes {
        ready: report.acks.iter().filter(|answer| is_ready(&answer.payload)).count(),
        asked: report.acks.len() + report.missing_clients.len(),
    }))
}
