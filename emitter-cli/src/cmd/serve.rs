//! `sio serve`: the ready-made server, with a real broker or the embedded one.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::app;
use crate::args::DEFAULT_URL;
use crate::backend::BrokerUrl;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::output;
use crate::plan::ServePlan;
use crate::stop;

pub(super) async fn run(plan: ServePlan) -> Result<(), Failure> {
    let listener = listen(plan.listen, "name another with --listen").await?;
    let embedded = match plan.url {
        Some(_) => None,
        None => Some(EmbeddedBroker::start(DEFAULT_URL.trim_start_matches("redis://")).await?),
    };
    let url = match (&plan.url, &embedded) {
        (Some(url), _) => url.clone(),
        (None, Some(embedded)) => BrokerUrl::parse(&embedded.url)?,
        (None, None) => unreachable!("without a URL there is an embedded broker"),
    };
    let backend = url.backend(plan.options)?;
    let io = app::server(Arc::clone(&backend.manager), plan.bench);
    if !plan.quiet {
        announce(listener.local_addr().unwrap_or(plan.listen), &url, embedded.is_some())?;
    }
    let served = socket_io::serve_with(listener, io, app::Page, stop::requested()).await;
    if let Some(embedded) = embedded {
        embedded.stop().await;
    }
    served.map_err(|error| backend.failure("flush what was published", error))
}

/// Binds the address.
pub(super) async fn listen(addr: SocketAddr, remedy: &str) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(addr).await;
    bound.map_err(Failure::system(format!("cannot listen on {addr} ({remedy})")))
}

fn announce(addr: SocketAddr, url: &BrokerUrl, is_embedded: bool) -> Result<(), Failure> {
    output::print_line(&format!("page and server  http://{addr}/"))?;
    if is_embedded {
        output::print_line(&format!("broker           {url} (embedded, for this machine only)"))?;
        output::print_line("try              sio emit --room lobby news '{\"hello\":\"world\"}'")
    } else {
        output::print_line(&format!("broker           {url}"))?;
        output::print_line(&format!(
            "try              sio emit --url {url} --room lobby news '{{\"hello\":\"world\"}}'"
        ))
    }
}

/// The embedded broker in a task of this process.
pub(super) struct EmbeddedBroker {
    pub(super) url: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl EmbeddedBroker {
    pub(super) async fn start(addr: &str) -> Result<EmbeddedBroker, Failure> {
        let bound = Broker::bind(addr).await;
        let attempt =
            format!("cannot start the embedded broker on {addr} (is one running already? then give its --url)");
        let broker = bound.map_err(Failure::system(attempt))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let url = broker.url();
        let task = tokio::spawn(broker.run(async move { drop(stopped.await) }));
        Ok(EmbeddedBroker { url, stop, task })
    }

    /// Stops it, once what is queued for its clients was sent.
    pub(super) async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the embedded broker ended badly");
        }
    }
}
