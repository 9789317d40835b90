//! The server of this project under test.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use gateway::admin::AdminService;
use gateway::health::Health;
use hub::HubMetrics;
use socket_io::{Data, SocketIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::latency::stamped;

/// The time between two scrapes.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);

/// Serves the events of the test application until SIGINT or SIGTERM; then prints its counters as one line of JSON.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// Port on 127.0.0.1
    port: u16,
    /// Broker to listen on, such as redis://127.0.0.1:6379
    url: Option<String>,
    /// Serves metrics and health, which are asked for every second, and writes a log in JSON
    #[arg(long)]
    observed: bool,
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
        let serving = socket_io::serve(listener, io.clone(), crate::interrupted());
        match self.observed {
            false => serving.await?,
            // A scrape that fails ends the run: without its work the figure would be too good.
            true => tokio::select! {
                served = serving => served?,
                Err(error) = observed(&io) => return Err(error),
            },
        }
        println!("{}", serde_json::to_string(&counters(&io.metrics().hub))?);
        Ok(())
    }
}

/// Turns everything on that operators have, and scrapes it as Prometheus would, but more often.
async fn observed(io: &SocketIo) -> Result<Infallible> {
    let log = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_writer(std::io::sink);
    log.init();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = AdminService::new(&Health::new(io.clone()));
    tokio::spawn(gateway::admin::serve(listener, service, std::future::pending()));
    loop {
        for path in [gateway::metrics::PATH, gateway::health::READY_PATH] {
            ask(address, path).await?;
        }
        tokio::time::sleep(SCRAPE_INTERVAL).await;
    }
}

async fn ask(address: SocketAddr, path: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    anyhow::ensure!(response.starts_with("HTTP/1.1 200"), "{path}: {response}");
    Ok(())
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
