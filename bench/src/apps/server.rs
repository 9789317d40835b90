//! The server of this project under test.

use anyhow::Result;
use clap::Args;
use socket_io::{Data, Payload, Socket, SocketIo};
use tokio::net::TcpListener;

use crate::latency::stamped;

/// Serves the events of the test application until SIGINT or SIGTERM.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// Port on 127.0.0.1
    port: u16,
    /// Broker to listen on, such as redis://127.0.0.1:6379
    url: Option<String>,
}

impl Server {
    /// Serves.
    ///
    /// # Errors
    ///
    /// If the port is taken, or the URL cannot be used.
    pub async fn run(&self) -> Result<()> {
        let mut builder = SocketIo::builder();
        if let Some(url) = &self.url {
            builder = builder.manager(siokit::connect(url)?);
        }
        let io = builder.build();
        io.namespace("/")
            .on("echo", async |data: Payload| data)
            .on("join", async |socket: Socket, Data(room): Data<String>| {
                socket.join(room).map(|()| "ok")
            })
            .on("leave", async |socket: Socket, Data(room): Data<String>| {
                socket.leave(room).map(|()| "ok")
            })
            .on(
                "publish",
                async |io: SocketIo, Data((room, len, count)): Data<(String, usize, u64)>| {
                    for _ in 0..count {
                        io.to(room.as_str()).local().emit("m", &stamped(len)).await?;
                    }
                    Ok::<_, socket_io::Error>(())
                },
            );
        io.ready().await;
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        socket_io::serve(listener, io, crate::interrupted()).await?;
        Ok(())
    }
}
