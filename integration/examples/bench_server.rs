//! The test application of the load generator: `bench_server PORT [BROKER_URL]`.
//!
//! Events: `echo(data)` acks with `data`; `join(room)` joins and acks "ok"; `bcast(k)` emits `m` to room `r` `k` times.

use integration::bench::stamped_message;
use socket_io::{Data, Payload, Socket, SocketIo};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments
        .next()
        .ok_or("usage: bench_server PORT [BROKER_URL]")?
        .parse()?;
    let mut builder = SocketIo::builder();
    if let Some(url) = arguments.next() {
        builder = builder.manager(siokit::connect(&url)?);
    }
    let io = builder.build();
    io.namespace("/")
        .on("echo", async |data: Payload| data)
        .on("join", async |socket: Socket, Data(room): Data<String>| {
            socket.join(room).map(|()| "ok")
        })
        .on("bcast", async |io: SocketIo, Data(count): Data<u64>| {
            for _ in 0..count {
                io.to("r").local().emit("m", &stamped_message()).await?;
            }
            Ok::<_, socket_io::Error>(())
        });
    io.ready().await;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let metrics = io.clone();
    socket_io::serve(listener, io, async { drop(tokio::signal::ctrl_c().await) }).await?;
    eprintln!("{:?}", metrics.metrics().hub);
    Ok(())
}
