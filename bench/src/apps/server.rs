//! The server of this project under test.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use hub::HubMetrics;
use socket_io::{Data, SocketIo};
use tokio::net::TcpListener;

use crate::latency::stamped;

/// Serves the events of the test application until SIGINT or SIGTERM; then prints its counters as one line of JSON.
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
        // All clients of the generator have one address.
        let mut builder = SocketIo::builder().configure(|config| {
            config.engine.max_handshakes_per_second = 1_000_000;
            config.engine.max_handshakes_per_second_per_peer = 1_000_000;
        });
        if let Some(url) = &self.url {
            builder = builder.manager(siokit::connect(url)?);
        }
        let io = builder.build();
        register(&io);
        io.ready().await;
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        socket_io::serve(listener, io.clone(), crate::interrupted()).await?;
        println!("{}", serde_json::to_string(&counters(&io.metrics().hub))?);
        Ok(())
    }
}

/// Registers the handlers of the test application.
fn register(io: &SocketIo) {
    bench_paths::register(io);
    io.namespace("/").on(
        "publish",
        async |io: SocketIo, Data((room, len, count)): Data<(String, usize, u64)>| {
            for _ in 0..count {
                io.to(room.as_str()).local().emit("m", &stamped(len)).await?;
            }
            Ok::<_, socket_io::Error>(())
        },
    );
}

/// The counters of the hub in a report.
fn counters(hub: &HubMetrics) -> BTreeMap<&'static str, u64> {
    [
        ("gaps", hub.gaps),
        ("panics", hub.panics),
        ("received", hub.received),
        ("restarts", hub.restarts),
        ("subscribe_failures", hub.subscribe_failures),
        ("undecodable", hub.undecodable),
    ]
    .into()
}
