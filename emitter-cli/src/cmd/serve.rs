//! `sio serve`: the ready-made server, with a real broker or the embedded one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use embedded_broker::EmbeddedBroker;
use socket_io::SocketIo;
use tokio::net::TcpListener;

use crate::app;
use crate::args::DEFAULT_URL;
use crate::backend::{Backend, BrokerUrl};
use crate::failure::Failure;
use crate::plan::ServePlan;
use crate::stop;
use crate::{log, output};

/// How long the server waits for its broker before it says that it is there without. What is refused in this time ends it.
const READY_PATIENCE: Duration = Duration::from_secs(3);
/// How often it looks whether the broker has refused it.
const LOOK: Duration = Duration::from_millis(20);

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
    let backend = url.backend(plan.options.clone())?;
    let unheard = log::without_managers();
    let io = app::server(Arc::clone(&backend.manager), &plan.namespaces, &plan.origins);
    let addr = listener.local_addr().map_err(Failure::system("cannot listen"))?;
    let stop = async {
        requested.await;
    };
    let serving = socket_io::service::serve_with(listener, io.clone(), app::Page, stop);
    let announcing = async {
        ready(&io, &backend, unheard).await?;
        if !plan.quiet {
            let text = announcement(addr, &url, embedded.is_some(), &plan);
            announce(text).await;
        }
        Ok(())
    };
    let served = both(serving, announcing).await?;
    if let Some(embedded) = embedded {
        embedded.stop().await;
    }
    served.map_err(|error| backend.failure("flush what was published", error))
}

/// Serves to the end, while what is to be said is said; or until that fails.
async fn both<T>(
    serving: impl Future<Output = T>,
    announcing: impl Future<Output = Result<(), Failure>>,
) -> Result<T, Failure> {
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        served = &mut serving => return Ok(served),
        announced = announcing => announced?,
    }
    Ok(serving.await)
}

/// Waits until what is emitted elsewhere reaches this server's clients, or says that it does not yet. Until then only that is told of the
/// broker.
///
/// # Errors
///
/// That of subscribing, if the broker refuses it. A server that was ready once serves on when its broker refuses it later.
async fn ready(io: &SocketIo, backend: &Backend, unheard: log::Unheard) -> Result<(), Failure> {
    let waited = tokio::time::timeout(READY_PATIENCE, async {
        tokio::select! {
            () = io.ready() => Ok(()),
            failure = refused(backend) => Err(failure),
        }
    });
    let outcome = waited.await;
    drop(unheard);
    if let Ok(known) = outcome {
        return known;
    }
    let cause = backend.manager.health().last_error.map(|(_, text)| text);
    let cause = cause.unwrap_or_else(|| "no answer".to_owned());
    let broker = &backend.url;
    tracing::warn!(%broker, "not subscribed yet: {cause}; until then clients get only what this server emits itself");
    Ok(())
}

/// Waits until the broker has refused to be listened to, and returns why. The server's own listener tries on, so that it is asked once more.
async fn refused(backend: &Backend) -> Failure {
    loop {
        tokio::time::sleep(LOOK).await;
        if backend.manager.health().num_refusals == 0 {
            continue;
        }
        match backend.manager.subscribe().await {
            Err(error) if error.is_refusal() => return backend.failure("subscribe", error),
            _ => std::future::pending().await,
        }
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

/// Where the server is, and what to try.
fn announcement(addr: SocketAddr, url: &BrokerUrl, is_embedded: bool, plan: &ServePlan) -> String {
    let about = if is_embedded {
        " (embedded, for this machine only)"
    } else {
        ""
    };
    let missing = if plan.is_url_left_out {
        "                 with the same URL in SIO_URL, or in the file that SIO_URL_FILE names: its login and parameters are not shown here\n"
    } else {
        ""
    };
    let emit_options = &plan.emit_options;
    format!(
        "page and server  http://{addr}/\nbroker           {url}{about}\n\
         try              sio emit{emit_options} --room lobby news '{{\"hello\":\"world\"}}'\n{missing}"
    )
}

/// Says where the server is. It serves on although this cannot be printed, or not yet.
async fn announce(text: String) {
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
