//! The ready-made server of `sio serve`: clients enter rooms and get what is emitted into them.
//!
//! Each namespace understands these events; all are acknowledged, with `"ok"` or the reason why not.
//!
//! | event | arguments | effect |
//! |---|---|---|
//! | `join` | room | the client enters the room |
//! | `leave` | room | it leaves the room |
//! | `publish` | room, event, arguments … | the event is emitted into the room, for other clients |
//! | `ages` | | each further event is followed by `sio:age` with its age in milliseconds, see [`Socket::tell_ages`] |
//! | `rights` | | the acknowledgement is `{"join":…,"publish":…,"namespaces":[…]}` |
//!
//! [`Socket::tell_ages`]: socket_io::Socket::tell_ages
//!
//! Rooms may also be named when connecting, `?room=a,b`. [`Admission`] decides who may do what.

mod admission;
mod keys;
mod origins;
mod query;
mod rooms;

use std::path::Path;

use manager_api::{ClientManager, NamespaceName};
use socket_io::SocketIo;
use socket_io::admin::{Admin, AdminMode};
use socket_io::config::{EngineConfig, Transports, TrustedProxies};
use socket_io::service::serve_on;
use socket_io::static_files::{StaticFiles, StaticFilesService};
use tower_layer::Layer;

use crate::access::Access;
use crate::api::{Api, ApiLayer, WithApi};
use crate::config::{Config, Problem, Secret};
use crate::health::Health;
use crate::listen::{Address, Bound, TlsListener};
use crate::metrics::Observed;
use crate::page::Page;
use crate::tls::Tls;

pub use admission::Admission;
pub use keys::admission;
pub use origins::Origins;

/// A server made of a [`Config`].
///
/// ```no_run
/// use std::time::Duration;
///
/// use gateway::config::Config;
/// use gateway::listen::Bound;
/// use gateway::server::{Admission, Server};
/// use manager_api::memory::MemoryBus;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config { origins: vec!["https://app.example".to_owned()], ..Config::default() };
/// let server = Server::new(&config, MemoryBus::new().manager("chat"), &Admission::Open { publish: false })?;
/// let shutdown = async {
///     tokio::signal::ctrl_c().await.ok();
///     server.io().drain(Duration::from_secs(20)).await;
/// };
/// server.serve(Bound::bind(&config.listen).await?, None, shutdown).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    io: SocketIo,
    origins: Origins,
    access: Option<Access>,
    api: Option<Api>,
    fallback: Fallback,
}

/// The service for requests that are not Socket.IO's: the HTTP API, static files, then the page, then 404.
pub type Fallback = WithApi<StaticFilesService<Page>>;

impl Server {
    /// Builds the server; with a manager it begins to listen to the others.
    ///
    /// # Errors
    ///
    /// If a setting cannot be used, or contradicts another one.
    ///
    /// # Panics
    ///
    /// If called outside a tokio runtime.
    pub fn new(config: &Config, manager: impl ClientManager, admission: &Admission) -> Result<Self, Problem> {
        let namespaces = namespaces(&config.namespaces)?;
        let engine = engine(config)?;
        let origins = Origins::new(&config.origins)?;
        let names = namespaces.iter().map(ToString::to_string).collect();
        let builder = match config.node_wire()? {
            Some(wire) => {
                let builder = SocketIo::builder().manager_with_wire(manager, wire);
                builder.map_err(|error| Problem::of("wire", error.to_string()))?
            }
            None => SocketIo::builder().manager(manager),
        };
        let mut builder = builder
            .state(rooms::Gate::new(admission, config.max_rooms as usize, names))
            .configure(|own| {
                own.engine = engine;
                own.engine.cors_allowed_origins = origins.allowed();
                own.max_events_per_second = config.max_events;
            });
        if let Some(admin) = admin(config)? {
            builder = builder.instrument(admin);
        }
        let io = builder.build();
        let access = match admission {
            Admission::Tokens(access) => Some(access.clone()),
            Admission::Open { .. } => None,
        };
        for name in &namespaces {
            if let Some(access) = &access {
                access.protect(&io.namespace(name));
            }
            rooms::serve(&io, name);
        }
        let api_keys = keys::of_api(config)?;
        let api = api_keys.map(|keys| Api::new(io.clone(), keys, keys::api_config(config)));
        let fallback = ApiLayer::from(api.clone()).layer(fallback(config));
        Ok(Self {
            io,
            origins,
            access,
            api,
            fallback,
        })
    }

    /// Returns the Socket.IO server.
    pub fn io(&self) -> &SocketIo {
        &self.io
    }

    /// Returns what its metrics and its health are read from.
    pub fn observed(&self) -> Observed {
        Observed {
            health: Health::new(self.io.clone()),
            access: self.access.clone(),
            api: self.api.clone(),
        }
    }

    /// Returns the service for everything that is not Socket.IO.
    pub fn fallback(&self) -> Fallback {
        self.fallback.clone()
    }

    /// Serves clients until `shutdown` completes, then disconnects those that are left and closes the manager. Let `shutdown`
    /// [drain](SocketIo::drain) the server first, so that clients do not come back all at once.
    ///
    /// TLS is for TCP; a Unix socket has none.
    ///
    /// # Errors
    ///
    /// If the manager cannot be flushed at the end.
    pub async fn serve(
        &self,
        bound: Bound,
        tls: Option<Tls>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), manager_api::Error> {
        let (io, fallback) = (self.io.clone(), self.fallback.clone());
        match (bound, tls) {
            (Bound::Tcp(listener), None) => serve_on(listener, io, fallback, shutdown).await,
            (Bound::Tcp(listener), Some(tls)) => {
                serve_on(TlsListener::new(listener, tls), io, fallback, shutdown).await
            }
            #[cfg(unix)]
            (Bound::Unix(socket), _) => serve_on(socket, io, fallback, shutdown).await,
        }
    }

    /// Takes over what can change while the server runs: the allowed origins, and the keys of tokens and of the HTTP API. Whether
    /// there are any keys stays as it is: a server that needs tokens does not become one that is open.
    ///
    /// # Errors
    ///
    /// If an origin or a key cannot be used, or if there were keys and are none now, or the reverse; nothing changes then.
    pub fn reload(&self, config: &Config) -> Result<(), Problem> {
        let (token_keys, api_keys) = (keys::of_tokens(config)?, keys::of_api(config)?);
        let stays = |key: &'static str, is_on: bool, has_keys: bool| match is_on == has_keys {
            true => Ok(()),
            false => Err(Problem::of(
                key,
                "keys were added where there were none, or all were removed: that takes a restart",
            )),
        };
        stays("tokens.key_files", self.access.is_some(), token_keys.is_some())?;
        stays("api.keys", self.api.is_some(), api_keys.is_some())?;
        self.origins.replace(&config.origins)?;
        if let (Some(access), Some(keys)) = (&self.access, token_keys) {
            access.set_keys(&keys);
        }
        if let (Some(api), Some(keys)) = (&self.api, api_keys) {
            api.set_keys(keys);
        }
        Ok(())
    }
}

/// Checks the settings, as far as that is possible before a server is built: each for itself, and whether they go together.
///
/// # Errors
///
/// The first setting that cannot be used.
pub fn check(config: &Config) -> Result<(), Problem> {
    let namespaces = namespaces(&config.namespaces)?;
    engine(config)?;
    config.node_wire()?;
    Origins::new(&config.origins)?;
    if admin(config)?.is_some() && namespaces.iter().any(|name| name.as_str() == Admin::NAMESPACE) {
        return Err(Problem::of("namespaces", "/admin belongs to the Admin UI"));
    }
    if config.api_keys.is_some() && with_slash(&config.path).starts_with("/api/") {
        return Err(Problem::of("path", "/api belongs to the HTTP API"));
    }
    check_files(config)?;
    check_operators(config)?;
    match (&config.tls_cert, &config.tls_key) {
        (Some(_), None) => return Err(Problem::of("tls.cert", "needs its private key: set tls.key, too")),
        (None, Some(_)) => return Err(Problem::of("tls.key", "needs its certificate: set tls.cert, too")),
        (Some(_), Some(_)) if matches!(config.listen, Address::Unix(_)) => {
            return Err(Problem::of(
                "tls.cert",
                "a Unix socket has no TLS: let the proxy in front end it",
            ));
        }
        _ => {}
    }
    keys::check(config)
}

/// Checks the certificate, and the folder of static files.
fn check_files(config: &Config) -> Result<(), Problem> {
    if let (Some(certificate), Some(key)) = (&config.tls_cert, &config.tls_key) {
        Tls::new(certificate, key).map_err(|error| Problem::of("tls.cert", error))?;
    }
    match &config.static_files {
        Some(folder) if !Path::new(folder).is_dir() => Err(Problem::of("static", format!("{folder} is not a folder"))),
        _ => Ok(()),
    }
}

/// Checks the address for operators.
fn check_operators(config: &Config) -> Result<(), Problem> {
    match &config.admin_listen {
        Some(Address::Unix(_)) => Err(Problem::of(
            "admin.listen",
            "scrapers and probes need HOST:PORT, not a Unix socket",
        )),
        Some(address @ Address::Tcp { port: 1.., .. }) if *address == config.listen => {
            Err(Problem::of("admin.listen", "it is the address of the clients"))
        }
        _ => Ok(()),
    }
}

/// Returns the settings of the transport.
fn engine(config: &Config) -> Result<EngineConfig, Problem> {
    let proxies = TrustedProxies::of(config.proxies.iter().map(String::as_str));
    let engine = EngineConfig {
        path: with_slash(&config.path),
        transports: transports(&config.transports)?,
        max_payload: config.max_payload.0,
        max_sessions: config.max_connections as usize,
        max_handshakes_per_second: config.max_handshakes,
        max_handshakes_per_second_per_peer: config.max_handshakes_per_address,
        trusted_proxies: proxies.map_err(|error| Problem::of("proxies", error))?,
        ..Default::default()
    };
    engine.validate().map_err(|error| Problem::of("path", error))?;
    Ok(engine)
}

/// Returns the namespaces, `/` among them.
fn namespaces(names: &[String]) -> Result<Vec<NamespaceName>, Problem> {
    let mut namespaces = vec![NamespaceName::root()];
    for name in names {
        let name = NamespaceName::new(name).map_err(|error| Problem::of("namespaces", error))?;
        if !namespaces.contains(&name) {
            namespaces.push(name);
        }
    }
    Ok(namespaces)
}

fn transports(names: &[String]) -> Result<Transports, Problem> {
    let has = |name: &str| names.iter().any(|each| each == name);
    if let Some(other) = names.iter().find(|name| *name != "polling" && *name != "websocket") {
        let text = format!("unknown transport {other:?}: use polling, websocket or both");
        return Err(Problem::of("transports", text));
    }
    match (has("polling"), has("websocket")) {
        (true, true) => Ok(Transports::Both),
        (true, false) => Ok(Transports::PollingOnly),
        (false, true) => Ok(Transports::WebSocketOnly),
        (false, false) => Err(Problem::of(
            "transports",
            "at least one is needed: polling or websocket",
        )),
    }
}

/// Clients ask for the path with a slash at its end.
fn with_slash(path: &str) -> String {
    format!("{}/", path.trim_end_matches('/'))
}

/// Returns the settings of the Admin UI, if it is on.
fn admin(config: &Config) -> Result<Option<Admin>, Problem> {
    if !config.admin_ui {
        return Ok(None);
    }
    let password = administrators_password(config)?;
    let user = config.admin_ui_user.as_str();
    let admin = match password.starts_with("$2") {
        true => Admin::bcrypt(user, password).map_err(|error| Problem::of("admin_ui.password", error))?,
        false => Admin::password(user, password),
    };
    let admin = admin.read_only(config.admin_ui_read_only);
    Ok(Some(admin.mode(AdminMode::Development)))
}

/// Returns the password of administrators, which is not empty.
fn administrators_password(config: &Config) -> Result<&str, Problem> {
    let password = config.admin_ui_password.as_ref().map(Secret::expose);
    password.filter(|password| !password.is_empty()).ok_or_else(|| {
        let text = "needs a password: set SIO_ADMIN_UI_PASSWORD, or SIO_ADMIN_UI_PASSWORD_FILE to a file that holds it";
        Problem::of("admin_ui.enabled", text)
    })
}

fn fallback(config: &Config) -> StaticFilesService<Page> {
    let page = match config.page {
        true => Page::new(&with_slash(&config.path)),
        false => Page::hidden(),
    };
    let files = match &config.static_files {
        Some(folder) => StaticFiles::new().dir("/", Path::new(folder)),
        None => StaticFiles::new(),
    };
    files.layer(page)
}

#[cfg(test)]
mod tests;
