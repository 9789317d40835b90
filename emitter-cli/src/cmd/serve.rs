//! `sio serve`: the ready-made server, with a real broker or the embedded one.

mod reload;

use std::sync::Arc;
use std::time::Duration;

use embedded_broker::EmbeddedBroker;
use gateway::admin::AdminService;
use gateway::config::Config;
use gateway::listen::{Address, Bound};
use gateway::server::{Admission, Server};
use gateway::tls::Tls;
use manager_api::wire::{Process, Role, Wire};
use manager_api::{Error, NamespaceName};
use socket_io::SocketIo;

use crate::args::DEFAULT_URL;
use crate::backend::{Backend, BrokerUrl};
use crate::failure::Failure;
use crate::plan::ServePlan;
use crate::stop::{self, Signal, Signals};
use crate::{log, output};
use reload::Reloader;

/// How long the server waits for its broker before it says that it is there without. What is refused in this time ends it.
const READY_PATIENCE: Duration = Duration::from_secs(3);
/// How often it looks whether the broker has refused it.
const LOOK: Duration = Duration::from_millis(20);

pub(super) async fn run(plan: ServePlan) -> Result<(), Failure> {
    log::set_level(plan.config.log_level);
    warn(&plan);
    let tls = tls(&plan.config)?;
    let bound = bind(&plan.config.listen, "name another with --listen").await?;
    let signals = Signals::new();
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
    let admission = gateway::server::admission(&plan.config).map_err(Failure::input)?;
    let server = Server::new(&plan.config, Arc::clone(&backend.manager), &admission);
    let server = server.map_err(Failure::input)?;
    let operators = operators(&plan.config, &server).await?;
    let wire = plan.config.node_wire().map_err(Failure::input)?;
    let place = bound.url(tls.is_some()).map_err(Failure::system("cannot listen"))?;
    let text = announcement(&place, &url, embedded.is_some(), &plan, &admission) + &operators;
    let quiet = plan.quiet;
    let stop = stopped(signals, Reloader::new(plan, server.clone(), tls.clone()));
    let serving = server.serve(bound, tls, stop);
    let announcing = async {
        let wire = wire.as_ref().map(|wire| wire as &dyn Wire);
        ready(server.io(), &backend, wire, unheard).await?;
        if !quiet {
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

/// Says what an operator may not have meant.
fn warn(plan: &ServePlan) {
    for (name, meant) in &plan.misspelt {
        tracing::warn!(
            "the variable {} is not a setting; did you mean {meant}?",
            output::printable(name)
        );
    }
    if plan.config.open && !plan.config.listen.is_local() {
        let listen = output::printable(&plan.config.listen.to_string());
        tracing::warn!("--open: anybody may join any room, and others reach {listen}");
    }
}

/// Reads the certificate, if there is one, and watches its files.
fn tls(config: &Config) -> Result<Option<Tls>, Failure> {
    let (Some(certificate), Some(key)) = (&config.tls_cert, &config.tls_key) else {
        return Ok(None);
    };
    let tls = Tls::new(certificate, key).map_err(|error| Failure::input(format!("cannot use TLS: {error}")))?;
    tokio::spawn(tls.clone().watch());
    Ok(Some(tls))
}

/// Waits until the server is to end, and drains it if a service manager asks for that: people at a terminal do not want to wait.
async fn stopped(mut signals: Signals, mut reloader: Reloader) {
    let mut is_due = false;
    let signal = loop {
        if std::mem::take(&mut is_due) {
            // A file that cannot be read for now, as one of the network, must not keep the server from ending.
            tokio::select! {
                () = reloader.reload() => {}
                signal = ending(&mut signals, &mut is_due) => break signal,
            }
            continue;
        }
        match signals.next().await {
            Signal::Hangup if reloader.has_file() => is_due = true,
            signal => break signal,
        }
    };
    stop::end_at_once(signals, reloader.has_file());
    if signal == Signal::Terminate {
        reloader.io().drain(reloader.drain()).await;
    }
}

/// Waits for a signal that ends the server; notes that another reload is due, because the one at work may have read the files before they
/// changed.
async fn ending(signals: &mut Signals, is_due: &mut bool) -> Signal {
    loop {
        match signals.next().await {
            Signal::Hangup => *is_due = true,
            signal => return signal,
        }
    }
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
async fn ready(
    io: &SocketIo,
    backend: &Backend,
    wire: Option<&dyn Wire>,
    unheard: log::Unheard,
) -> Result<(), Failure> {
    let waited = tokio::time::timeout(READY_PATIENCE, async {
        tokio::select! {
            () = io.ready() => Ok(()),
            failure = refused(backend, wire) => Err(failure),
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
async fn refused(backend: &Backend, wire: Option<&dyn Wire>) -> Failure {
    loop {
        tokio::time::sleep(LOOK).await;
        if backend.manager.health().num_refusals == 0 {
            continue;
        }
        let subscribed = match wire {
            Some(wire) => subscribe_to_fleet(backend, wire).await,
            None => backend.manager.subscribe().await.map(drop),
        };
        match subscribed {
            Err(error) if error.is_refusal() => return backend.failure("subscribe", error),
            _ => std::future::pending().await,
        }
    }
}

/// Subscribes for a moment to what a server of a fleet on Node does.
async fn subscribe_to_fleet(backend: &Backend, wire: &dyn Wire) -> Result<(), Error> {
    let process = Process {
        role: Role::Server,
        ..Process::emitter()
    };
    let messenger = wire.open(Arc::clone(&backend.manager), process)?;
    messenger.attend(&NamespaceName::root());
    messenger.receive().await.map(drop)
}

/// Serves metrics and health for operators, if they have an address, to the end of the process: a server that drains is probed. Returns
/// the line that says where.
async fn operators(config: &Config, server: &Server) -> Result<String, Failure> {
    let Some(address) = &config.admin_listen else {
        return Ok(String::new());
    };
    let Bound::Tcp(listener) = bind(address, "name another with --admin-listen").await? else {
        unreachable!("a Unix socket was refused when the settings were checked");
    };
    let addr = listener.local_addr().map_err(Failure::system("cannot listen"))?;
    let service = AdminService::new(server.observed());
    tokio::spawn(gateway::admin::serve(listener, service, std::future::pending()));
    Ok(format!(
        "for operators    http://{addr}/metrics  /health/ready  /health/live\n"
    ))
}

/// Binds an address, or says what to do.
pub(super) async fn bind(address: &Address, remedy: &str) -> Result<Bound, Failure> {
    let attempt = format!("cannot listen on {address} ({remedy})");
    Bound::bind(address).await.map_err(Failure::system(attempt))
}

/// Where the server is, what to try, and who may connect.
fn announcement(place: &str, url: &BrokerUrl, is_embedded: bool, plan: &ServePlan, admission: &Admission) -> String {
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
    let who = match (admission, plan.config.listen.is_local() && !plan.config.open) {
        (Admission::Tokens(_), _) => "clients need a token, which says what they may do",
        (_, true) => "any program of this machine may join any room",
        (_, false) => "anybody may join any room (--open)",
    };
    let api = match plan.config.api_keys {
        Some(_) => format!("HTTP API         {place}api/openapi.json\n"),
        None => String::new(),
    };
    let emit_options = &plan.emit_options;
    format!(
        "page and server  {place}\nbroker           {url}{about}\n\
         try              sio emit{emit_options} --room lobby news '{{\"hello\":\"world\"}}'\n{missing}\
         access           {who}\n{api}"
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
