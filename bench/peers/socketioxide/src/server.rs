//! The test application on socketioxide and axum: `server PORT [redis://host:port]`.

#[path = "stamp.rs"]
mod stamp;

use std::convert::Infallible;
use std::error::Error;

use axum::serve::ListenerExt;
use socketioxide::SocketIo;
use socketioxide::adapter::Adapter;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::handler::ConnectHandler;
use socketioxide_redis::{RedisAdapter, RedisAdapterCtr};
use tokio::net::TcpListener;

/// Packets that may wait for a client. The default of 128 loses events of a burst.
const BUFFER: usize = 8192;

/// Registers the handlers. It is a middleware, because a connect handler runs after the reply to CONNECT has left: what a client sends at
/// once would find no handler.
async fn register<A: Adapter>(socket: SocketRef<A>, io: SocketIo<A>) -> Result<(), Infallible> {
    socket.on("echo", async |Data::<String>(data), ack: AckSender<A>| drop(ack.send(&data)));
    socket.on("join", async |socket: SocketRef<A>, Data::<String>(room), ack: AckSender<A>| {
        socket.join(room);
        drop(ack.send("ok"));
    });
    socket.on("leave", async |socket: SocketRef<A>, Data::<String>(room), ack: AckSender<A>| {
        socket.leave(room);
        drop(ack.send("ok"));
    });
    socket.on("publish", async move |Data::<(String, usize, u64)>((room, len, count))| {
        for _ in 0..count {
            drop(io.to(room.clone()).emit("m", &stamp::stamped(len)).await);
        }
    });
    Ok(())
}

async fn connected<A: Adapter>(_: SocketRef<A>) {}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().ok_or("usage: server PORT [URL]")?.parse()?;
    let builder = SocketIo::builder().max_buffer_size(BUFFER);
    let app = axum::Router::new();
    let app = match arguments.next() {
        Some(url) => {
            let client = redis::Client::open(format!("{url}?protocol=resp3"))?;
            let adapter = RedisAdapterCtr::new_with_redis(&client).await?;
            let (layer, io) = builder.with_adapter::<RedisAdapter<_>>(adapter).build_layer();
            io.ns("/", connected.with(register)).await?;
            app.layer(layer)
        }
        None => {
            let (layer, io) = builder.build_layer();
            io.ns("/", connected.with(register));
            app.layer(layer)
        }
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await?;
    Ok(())
}
