//! `sio serve`: the ready-made server, with a real broker or the embedded one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use embedded_broker::EmbeddedBroker;
use socket_io::SocketIo;
use tokio::net::TcpListener;

use crate::app;
use crate::args::DEFAULT_URL;
use crate::backend::BrokerUrl;
use crate::failure::Failure;
use crate::output;
use crate::plan::ServePlan;
use crate::stop;

/// How long the server waits for its broker before it says that it is there without.
const READY_PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn run(plan: ServePlan) -> Result<(), Failure> {
    let listener = listen(&plan.listen.host, plan.listen.port, "name another with --listen").await?;
    let requested = stop::requested();
    let embedded = match plan.url {
        Some(_) => None,
        None => Some(start_broker(DEFAULT_URL.trim_start_matches("redis://")).await?),
    };
    let url = match (&plan.url, &embedded) {
        (Some(url), _) => url.clone(),
        (None, Some(embedded)) => BrokerUrl::parse(embedded.url())?,
        (None, None) => unreachable!("without a URL there is an embedded broker"),
    };
    let backend = url.backend(plan.options)?;
    let io = app::server(Arc::clone(&backend.manager), &plan.namespaces, &plan.origins);
    let addr = listener.local_addr().map_err(Failure::system("cannot listen"))?;
    let stop = async {
        requested.await;
    };
    let serving = socket_io::service::serve_with(listener, io.clone(), app::Page, stop);
    let announcing = async {
        ready(&io, &url).await;
        if !plan.quiet {
            announce(addr, &url, embedded.is_some(), &plan.emit_options).await;
        }
    };
    let served = both(serving, announcing).await;
    if let Some(embedded) = embedded {
        embedded.stop().await;
    }
    served.map_err(|error| backend.failure("flush what was published", error))
}

/// Serves to the end, while what is to be said is said.
async fn both<T>(serving: impl Future<Output = T>, announcing: impl Future<Output = ()>) -> T {
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        served = &mut serving => return served,
        () = announcing => {}
    }
    serving.await
}

/// Waits until what is emitted elsewhere reaches this server's clients, or says that it does not yet.
async fn ready(io: &SocketIo, url: &BrokerUrl) {
    if tokio::time::timeout(READY_PATIENCE, io.ready()).await.is_err() {
        tracing::warn!(broker = %url, "not subscribed yet; until then clients get only what this server emits itself");
    }
}

/// Binds the first address of the host that can be bound, those of IPv4 before those of IPv6.
pub(super) async fn listen(host: &str, port: u16, remedy: &str) -> Result<TcpListener, Failure> {
    let attempt = if host.contains(':') {
        format!("cannot listen on [{host}]:{port} ({remedy})")
    } else {
        format!("cannot listen on {host}:{port} ({remedy})")
    };
    let found = tokio::net::lookup_host((host, port)).await;
    let mut addrs: Vec<SocketAddr> = found.map_err(Failure::system(attempt.clone()))?.collect();
    addrs.sort_by_key(SocketAddr::is_ipv6);
    TcpListener::bind(&addrs[..]).await.map_err(Failure::system(attempt))
}

/// Says where the server is. It serves on although this cannot be printed, or not yet.
async fn announce(addr: SocketAddr, url: &BrokerUrl, is_embedded: bool, emit_options: &str) {
    let about = if is_embedded {
        " (embedded, for this machine only)"
    } else {
        ""
    };
    let text = format!(
        "page and server  http://{addr}/\nbroker           {url}{about}\n\
         try              sio emit{emit_options} --room lobby news '{{\"hello\":\"world\"}}'\n"
    );
    match output::printed(text).await {
        Ok(()) | Err(Failure::ClosedPipe) => {}
        Err(failure) => tracing::warn!("{failure}; serving all the same"),
    }
}

/// Starts the embedded broker in this process.
pub(super) async fn start_broker(addr: &str) -> Result<EmbeddedBroker, Failure> {
    let attempt = format!("cannot start the embedded broker on {addr} (is one running already? then give its --url)");
    EmbeddedBroker::start(addr).await.map_err(Failure::system(attempt))
}
