//! The server side of the official Socket.IO Admin UI.

mod attempts;
mod auth;
mod commands;
mod describe;
mod feed;
mod stats;
mod task;
mod watch;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use manager_api::id::IntoNamespaceName;
use manager_api::{Error, ErrorKind, NamespaceName};

use auth::Auth;
pub use auth::Credentials;
pub(crate) use feed::AdminFeed;
pub(crate) use task::start;

/// Lets the official [Socket.IO Admin UI](https://github.com/socketio/socket.io-admin-ui) look at a server, and at all others on its channel
/// that are instrumented too.
///
/// ```no_run
/// # use socket_io::SocketIo;
/// # use socket_io::admin::Admin;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let password = std::env::var("ADMIN_PASSWORD").expect("ADMIN_PASSWORD is set");
/// let io = SocketIo::builder().instrument(Admin::password("admin", password)).build();
/// # }
/// ```
///
/// Its page lives in the package `@socket.io/admin-ui` of npm, folder `ui/dist`, from where `StaticFiles` can serve it;
/// the hosted one at `https://admin.socket.io` needs that origin among [the allowed ones](engine_io::Config::cors_allowed_origins).
///
/// # What is told
///
/// - Every [interval](Self::stats_interval): how many clients, connections, packets and bytes there are.
/// - In [development mode](AdminMode::Development): every client that connects, moves to a WebSocket or leaves, every room that one enters
///   or leaves, and the events that pass, with their arguments. Only while an administrator is connected somewhere: nothing is spent on it
///   otherwise. What goes beyond [`max_events_per_second`](Self::max_events_per_second) or
///   [`max_bytes_per_second`](Self::max_bytes_per_second) is left out, [counted](crate::metrics::Metrics::admin_dropped) and logged.
/// - Addresses, query and headers of the requests that opened connections; of the headers of
///   [`redacted_headers`](Self::redacted_headers) only the names. What is longer than administrators can use is cut.
///
/// # What administrators may do
///
/// Put clients into rooms, take them out, disconnect them, and emit events, on every server; nothing if it is
/// [read-only](Self::read_only).
///
/// # Who is an administrator
///
/// Nothing reaches a client that is not accepted, and every registration of a handler in [their namespace](Self::namespace) panics. On the
/// wire, what administrators are told is an event for all clients in that namespace, as it is among Node's servers: a server on the
/// same channel that is not instrumented must not admit clients to it, as one with handlers for
/// [every namespace](crate::SocketIo::any_namespace) does.
///
/// One that gave a password is given a token with which the page connects again after it was
/// reloaded, to any server with the same password, for [a day](Self::session_duration); another password ends them all. Passwords are
/// answered after half a second, right or wrong, and limited in number for [each address and in total](Self::max_attempts_per_minute); failed
/// attempts are logged.
#[derive(Clone)]
#[must_use = "give it to `SocketIoBuilder::instrument`"]
pub struct Admin {
    auth: Auth,
    namespace: NamespaceName,
    mode: AdminMode,
    read_only: bool,
    server_id: Option<String>,
    stats_interval: Duration,
    session_duration: Duration,
    max_events_per_second: u32,
    max_sockets: usize,
    max_bytes_per_second: u32,
    redacted_headers: Vec<HeaderName>,
}

/// How much administrators are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminMode {
    /// Everything.
    #[default]
    Development,
    /// Counters only, which cost little however many clients there are.
    Production,
}

impl Admin {
    /// The namespace of administrators, unless another is [chosen](Self::namespace).
    pub const NAMESPACE: &str = "/admin";

    /// Accepts clients that know a password. Choose a long one: the key of tokens is derived from it, with bcrypt at cost 12, so that a stolen
    /// token allows some five guesses a second and core; [`session_secret`](Self::session_secret) allows none.
    ///
    /// # Panics
    ///
    /// If the password is empty, as one that was forgotten is; [`open`](Self::open) accepts every client.
    pub fn password(username: impl Into<String>, password: impl Into<String>) -> Self {
        let password = password.into();
        assert!(!password.is_empty(), "the administrators' password is empty");
        Self::new(Auth::password(username.into(), password))
    }

    /// Accepts clients that know the password of which this is the bcrypt hash, as in the configuration of Node's servers.
    ///
    /// Hashes are compared one at a time, on a thread that may block. Tokens are signed with a key made of the hash, which a token tells nothing
    /// of: its salt cannot be guessed. But anyone who reads the hash can make tokens; keep it as secret as a password, or set a
    /// [`session_secret`](Self::session_secret).
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) if it is not a bcrypt hash (`$2a$`, `$2b$`, `$2x$`, `$2y$`).
    pub fn bcrypt(username: impl Into<String>, hash: impl Into<String>) -> Result<Self, Error> {
        let auth = Auth::bcrypt(username.into(), hash.into());
        let auth = auth.map_err(|error| Error::new(ErrorKind::Config, "not a bcrypt hash").with_source(error))?;
        Ok(Self::new(auth))
    }

    /// Accepts whom a function accepts.
    ///
    /// Tokens are accepted by this server alone, until it restarts, because there is no password that they could depend on.
    ///
    /// ```
    /// # use socket_io::admin::Admin;
    /// let admin = Admin::checked(async |who| who.username == "ada" && who.password == "the secret of the day");
    /// ```
    pub fn checked<F, Fut>(check: F) -> Self
    where
        F: Fn(Credentials) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        Self::new(Auth::checked(check))
    }

    /// Accepts every client: for a machine that others cannot reach.
    pub fn open() -> Self {
        Self::new(Auth::open())
    }

    fn new(auth: Auth) -> Self {
        Self {
            auth,
            namespace: NamespaceName::new(Self::NAMESPACE).expect("begins with a slash"),
            mode: AdminMode::default(),
            read_only: false,
            server_id: None,
            stats_interval: Duration::from_secs(2),
            session_duration: Duration::from_secs(86_400),
            max_events_per_second: 1_000,
            max_bytes_per_second: 1 << 20,
            max_sockets: 1_000,
            redacted_headers: vec![AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION],
        }
    }

    /// Chooses how much is told. Default [`AdminMode::Development`].
    pub fn mode(mut self, mode: AdminMode) -> Self {
        self.mode = mode;
        self
    }

    /// Lets administrators watch, and change nothing. Default false.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Chooses the namespace that administrators connect to, which is then theirs. Default `/admin`.
    ///
    /// # Panics
    ///
    /// If the name does not begin with `/` or holds a comma.
    pub fn namespace(mut self, name: impl IntoNamespaceName) -> Self {
        self.namespace = name.into_namespace_name().unwrap_or_else(|error| panic!("{error}"));
        self
    }

    /// Chooses the name under which the page lists this server; each must have its own. Default its
    /// [id among the servers](crate::SocketIo::server_id).
    pub fn server_id(mut self, id: impl Into<String>) -> Self {
        self.server_id = Some(id.into());
        self
    }

    /// Sets how often the counters are told; 100 ms at least. Default 2 s; the page takes a server for dead after 10 s.
    pub fn stats_interval(mut self, interval: Duration) -> Self {
        self.stats_interval = interval.max(Duration::from_millis(100));
        self
    }

    /// Sets how long the token of an administrator is accepted, to the second; zero gives none. Default one day.
    pub fn session_duration(mut self, duration: Duration) -> Self {
        self.session_duration = duration;
        self
    }

    /// Signs tokens with a secret that all servers on the channel share, and that is used for nothing else. Default none: the key of tokens is
    /// derived from the password or its hash. With a secret, a token tells nothing of the password however it is examined. Another
    /// password ends all tokens as before; so does another secret. With [`checked`](Self::checked), tokens of one server are accepted by all.
    ///
    /// # Panics
    ///
    /// If it is shorter than 16 bytes. Take 32 random ones.
    pub fn session_secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        let secret = secret.as_ref();
        assert!(
            secret.len() >= 16,
            "the administrators' session secret is shorter than 16 bytes"
        );
        self.auth.sign_with(secret);
        self
    }

    /// Sets how many passwords may be tried in a minute: by one address (an IPv6 network of 64 bits counts as one), and by all together.
    /// Default 20 and 200; with zero only tokens are accepted. Tokens are not counted. Behind a proxy all have one address, its own. At most 1,024
    /// addresses are told apart at a time; further ones share one allowance.
    pub fn max_attempts_per_minute(mut self, per_address: u32, in_total: u32) -> Self {
        self.auth.limit_attempts(per_address, in_total);
        self
    }

    /// Sets how many events of clients are told in a second; the others are left out. Default 1,000, which is as many as the page keeps.
    pub fn max_events_per_second(mut self, count: u32) -> Self {
        self.max_events_per_second = count;
        self
    }

    /// Sets how many bytes administrators are told in a second of what clients do; what goes beyond is left out. Default 1 MiB, which an
    /// administrator's connection has to carry for each server.
    pub fn max_bytes_per_second(mut self, bytes: u32) -> Self {
        self.max_bytes_per_second = bytes;
        self
    }

    /// Sets how many clients of each server an administrator is told of when connecting, and not more than 1 MiB of them. Default 1,000.
    pub fn max_sockets(mut self, count: usize) -> Self {
        self.max_sockets = count;
        self
    }

    /// Sets the headers whose values administrators do not see. Default `authorization`, `cookie` and `proxy-authorization`.
    pub fn redacted_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.redacted_headers = names.into_iter().collect();
        self
    }

    fn tells_everything(&self) -> bool {
        self.mode == AdminMode::Development
    }

    /// What the page is told it can use, in the order in which Node's server says it.
    fn features(&self) -> Vec<&'static str> {
        let mut features = match self.read_only {
            true => Vec::new(),
            false => vec!["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT"],
        };
        features.push("AGGREGATED_EVENTS");
        if self.tells_everything() {
            features.push("ALL_EVENTS");
        }
        features
    }
}

impl fmt::Debug for Admin {
    // Passwords stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("namespace", &self.namespace)
            .field("mode", &self.mode)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}
