//! Several processes that act as one server, over a broker: `processes [ADDRESS]`, with `REDIS_URL`
//! and `CHANNEL`.
//!
//! ```console
//! $ cargo run -p examples --bin processes 127.0.0.1:3000
//! $ cargo run -p examples --bin processes 127.0.0.1:3001
//! ```
//!
//! ```js
//! // Receives the events of job 7, from every process.
//! await client.emitWithAck("watch", "job 7");
//! await client.emitWithAck("servers"); // [ 4711, 4712 ]: the processes
//! ```

use std::time::Duration;

use examples::Failure;
use siokit::manager::cluster::ServerEvent;
use siokit::{Ack, Data, Error, Socket, SocketIo};

/// Servers that respond later are omitted.
const TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let io = SocketIo::builder().manager(examples::redis()?).build();
    // The handler of requests of other servers.
    io.on_server_event("process?", async |_: SocketIo, _: ServerEvent| std::process::id());
    io.namespace("/")
        .on("watch", async |socket: Socket, Data(room): Data<String>| {
            socket.join(room).map(|()| true)
        })
        .on(
            "say",
            async |socket: Socket, Data((room, text)): Data<(String, String)>| {
                socket.to(room).emit("said", &text).await // on every server
            },
        )
        .on("servers", servers);
    examples::serve(io).await
}

async fn servers(io: SocketIo) -> Result<Ack<Vec<u32>>, Error> {
    let answers = io.server_side_call("process?", &(), TIMEOUT).await?;
    let others = answers
        .found
        .iter()
        .filter_map(|answer| answer.payload.as_ref()?.parse().ok());
    let mut all: Vec<u32> = others.chain([std::process::id()]).collect();
    all.sort_unstable();
    Ok(Ack(all))
}
