//! The settings of an engine, with units and defaults.

use std::borrow::Cow;
use std::time::Duration;

pub use crate::http::allow::{AllowRequest, Forbidden};
pub use crate::http::cookie::{Cookie, SameSite};
pub use crate::http::forwarded::TrustedProxies;
pub use crate::http::origins::AllowedOrigins;

/// The longest time that the timers of JavaScript can wait, in milliseconds; beyond it they fire at
/// once.
const LONGEST_WAIT: u128 = i32::MAX as u128;

/// One of the two ways to carry packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// HTTP long-polling: GETs that wait, and POSTs.
    Polling,
    /// A WebSocket.
    WebSocket,
}

impl Transport {
    /// Returns the name that the query parameter `transport` carries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// The transports that an engine offers.
///
/// Requests for another get the status 400 and `{"code":0,"message":"Transport unknown"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Transports {
    /// Long-polling and WebSocket.
    #[default]
    Both,
    /// Long-polling alone; nothing is upgraded.
    PollingOnly,
    /// WebSocket alone.
    WebSocketOnly,
}

impl Transports {
    /// Returns whether `transport` is among them.
    pub fn contains(self, transport: Transport) -> bool {
        match self {
            Self::Both => true,
            Self::PollingOnly => transport == Transport::Polling,
            Self::WebSocketOnly => transport == Transport::WebSocket,
        }
    }
}

/// The settings of an [`Engine`](crate::Engine).
///
/// ```
/// use std::time::Duration;
///
/// use engine_io::Config;
/// use engine_io::config::Transports;
///
/// let config = Config {
///     transports: Transports::WebSocketOnly,
///     ping_interval: Duration::from_secs(10),
///     outbox_hard_limit: 1024 * 1024,
///     ..Config::default()
/// };
/// assert!(config.validate().is_ok());
///
/// let contradicting = Config { path: "no-slash".to_owned(), ..Config::default() };
/// assert!(contradicting.validate().is_err());
/// ```
///
/// Every limit is finite. A duration of zero fires at the next tick of the engine's clock, it does
/// not disable anything.
///
/// Names are those that python-socketio uses, where it has the setting: its `max_http_buffer_size`
/// is [`max_payload`](Self::max_payload). Its `monitor_clients` has no counterpart: silence is
/// always noticed.
#[derive(Clone, Debug)]
pub struct Config {
    /// The path that is served, matched exactly but for any number of slashes at its end. Default
    /// `/socket.io/`.
    pub path: String,
    /// The time between a pong, or the opening, and the next ping. Default 25 s.
    pub ping_interval: Duration,
    /// The time a client has to answer a ping. Default 20 s.
    pub ping_timeout: Duration,
    /// The time a WebSocket that is to replace long-polling has to complete the upgrade. Default 10
    /// s.
    pub upgrade_timeout: Duration,
    /// The size of one POST body, and of one WebSocket message after decompression, in bytes.
    /// Default 1,000,000.
    #[doc(alias = "max_http_buffer_size")]
    pub max_payload: usize,
    /// The number of packets in one POST body; more of them close the session with a parse error.
    /// Default 100,000.
    pub max_packets_per_payload: usize,
    /// The packets that one long-polling response holds at most; a message and its attachments,
    /// which stay together, may exceed it. Default 16: python-engineio's client refuses a longer
    /// response and loses it. It also limits a client that stays on long-polling to so many packets
    /// per round trip; where none is written in Python, set it higher.
    pub max_packets_per_polling_response: usize,
    /// The transports that are offered. Default both.
    pub transports: Transports,
    /// Whether a session may move from long-polling to WebSocket. Default true.
    pub allow_upgrades: bool,
    /// The origins whose pages may use the server. Default the server's own.
    pub cors_allowed_origins: AllowedOrigins,
    /// Whether browsers may send cookies from pages of the allowed origins. Default true.
    pub cors_credentials: bool,
    /// Which requests may open a session, of those whose origin is allowed. Default all.
    pub allow_request: AllowRequest,
    /// The cookie that a session on long-polling sets, for load balancers. Default none.
    pub cookie: Option<Cookie>,
    /// Whether long-polling responses are compressed for clients that accept gzip or deflate.
    /// Default true.
    ///
    /// Where a secret and text of an attacker's choice meet in one message, the length of the
    /// response reveals the secret: send it [uncompressed](crate::Outgoing::uncompressed), or turn
    /// this off. The same holds for [`per_message_deflate`](Self::per_message_deflate).
    pub http_compression: bool,
    /// Whether the messages of WebSockets are compressed (permessage-deflate, RFC 7692), if the
    /// client offers it. Default false: it trades CPU time for bandwidth.
    ///
    /// There is no context takeover from one message to the next, so that an idle connection needs
    /// no memory for it and a broadcast is compressed once for all its recipients. A message over 1
    /// MiB is sent as it is.
    pub per_message_deflate: bool,
    /// The length of a long-polling response, or of a WebSocket message, from which it is
    /// compressed, in bytes. Default 1,024.
    pub compression_threshold: usize,
    /// The bytes waiting for one client above which volatile packets are dropped and reading from
    /// it pauses. Default 1 MiB.
    pub outbox_soft_limit: usize,
    /// The bytes waiting for one client above which it is disconnected at once. Default 16 MiB.
    pub outbox_hard_limit: usize,
    /// The bytes waiting for all clients together above which volatile packets are dropped and
    /// clients disconnected, those with the fullest outboxes first. A packet for many clients
    /// counts once; responses to polls count until they were written. Above five quarters of it a
    /// client is disconnected at once when a packet would make more than 256 KiB wait for it.
    /// Default 256 MiB.
    pub outbox_total_limit: usize,
    /// The bytes held of incomplete messages of all clients together (POST bodies on their way,
    /// unfinished frames and fragments of WebSockets, and what the protocol above
    /// [holds](crate::Socket::hold)) above which the server gives some of them up: of clients
    /// that the protocol above has not [accepted](crate::Socket::mark_accepted) first, then of
    /// those that hold most. A POST gets the status 503, a WebSocket the close code 1013. What is
    /// complete when it is read does not count, nor do messages of less than 1 KiB. Default 256 MiB.
    pub inbound_total_limit: usize,
    /// The time a client may stay above the soft limit without once getting below it; then it is
    /// disconnected. Default 15 s.
    pub slow_client_grace: Duration,
    /// The time for which reading from a client may pause, without once going on, because its
    /// session accepts no more messages; then it is disconnected. Its ping timeout is suspended
    /// meanwhile, so that otherwise its absence would stay unnoticed. Default 5 min.
    pub max_reading_pause: Duration,
    /// The time a polling client has to fetch the packets that are left when the server closes its
    /// session. Default 30 s.
    pub polling_close_timeout: Duration,
    /// The number of sessions at a time; for a handshake above it the
    /// [handler](crate::Handler::make_room) may close one, otherwise it gets the status 503.
    /// Default 1,000,000.
    pub max_sessions: usize,
    /// The handshakes a second that are accepted of all clients together; those of one second may
    /// come at once. Further ones get the status 503 with a `Retry-After`. Default 20,000.
    pub max_handshakes_per_second: u32,
    /// The handshakes a second that are accepted from one address (a network of 64 bits of IPv6), as far as
    /// [`PeerAddr`](crate::http::PeerAddr) and [`trusted_proxies`](Self::trusted_proxies) tell it.
    /// Default 5,000: a quarter of the total, so that one address cannot use up what all others
    /// need. Behind a proxy that is not trusted all clients have one address.
    pub max_handshakes_per_second_per_peer: u32,
    /// The proxies that name the addresses of their clients. Default none.
    pub trusted_proxies: TrustedProxies,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "/socket.io/".to_owned(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            max_payload: 1_000_000,
            max_packets_per_payload: 100_000,
            max_packets_per_polling_response: 16,
            transports: Transports::Both,
            allow_upgrades: true,
            cors_allowed_origins: AllowedOrigins::SameOrigin,
            cors_credentials: true,
            allow_request: AllowRequest::All,
            cookie: None,
            http_compression: true,
            per_message_deflate: false,
            compression_threshold: 1_024,
            outbox_soft_limit: 1024 * 1024,
            outbox_hard_limit: 16 * 1024 * 1024,
            outbox_total_limit: 256 * 1024 * 1024,
            inbound_total_limit: 256 * 1024 * 1024,
            slow_client_grace: Duration::from_secs(15),
            max_reading_pause: Duration::from_secs(300),
            polling_close_timeout: Duration::from_secs(30),
            max_sessions: 1_000_000,
            max_handshakes_per_second: 20_000,
            max_handshakes_per_second_per_peer: 5_000,
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// Settings that contradict themselves, or each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(Cow<'static, str>);

impl ConfigError {
    /// Creates the error of a setting that cannot be used.
    pub(crate) fn new(text: String) -> Self {
        Self(text.into())
    }
}

impl Config {
    /// Checks the settings; [`Engine::new`](crate::Engine::new) panics where this fails.
    ///
    /// # Errors
    /// - The path does not begin with a slash, or has no name after it.
    /// - A limit of bytes, packets or handshakes is zero.
    /// - Ping interval and timeout together are longer than 24 days: the timers of browsers end
    ///   there, and fire at once.
    /// - An allowed origin is not as browsers send it: a scheme, `://` and a host, with a port only
    ///   if it is not the scheme's own, and no slash at the end.
    /// - The cookie's name is not a token, its path or domain is not valid in a header, or it is
    ///   `SameSite=None` and not secure.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let limits = [
            self.max_payload,
            self.max_packets_per_payload,
            self.max_packets_per_polling_response,
            self.outbox_soft_limit,
            self.outbox_hard_limit,
            self.outbox_total_limit,
            self.inbound_total_limit,
        ];
        let silence = self
            .ping_interval
            .as_millis()
            .saturating_add(self.ping_timeout.as_millis());
        let fault = if !self.path.starts_with('/') || self.path.len() < 2 {
            Some("the path must begin with a slash and a name")
        } else if limits.contains(&0) {
            Some("a limit of bytes or packets must not be zero")
        } else if self.max_handshakes_per_second == 0 || self.max_handshakes_per_second_per_peer == 0 {
            Some("a limit of handshakes must not be zero")
        } else if silence > LONGEST_WAIT {
            Some("ping interval and timeout together exceed the timers of browsers, which end after 24 days")
        } else {
            self.cookie.as_ref().and_then(Cookie::fault)
        };
        if let Some(fault) = fault {
            return Err(ConfigError(fault.into()));
        }
        match self.cors_allowed_origins.unusable() {
            Some(origin) => Err(ConfigError(
                format!("no browser sends the origin {origin:?}: it must be a scheme, `://`, a host, and nothing else")
                    .into(),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    /// Those of the reference server, where it has the setting.
    #[test]
    fn the_defaults_are_those_that_are_documented() {
        let config = Config::default();
        let seconds = [
            config.ping_interval,
            config.ping_timeout,
            config.upgrade_timeout,
            config.polling_close_timeout,
            config.slow_client_grace,
        ]
        .map(|each| each.as_secs());
        assert_eq!(seconds, [25, 20, 10, 30, 15]);
        assert_eq!((config.max_payload, config.path.as_str()), (1_000_000, "/socket.io/"));
        assert_eq!(
            (config.outbox_total_limit, config.inbound_total_limit),
            (256 << 20, 256 << 20)
        );
        assert_eq!(
            (
                config.max_handshakes_per_second,
                config.max_handshakes_per_second_per_peer
            ),
            (20_000, 5_000)
        );
        assert!(config.allow_upgrades && config.transports == Transports::Both);
    }

    #[test]
    fn contradictions_are_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        assert!(fault(|config| config.path = "chat/".to_owned()).contains("path"));
        assert!(fault(|config| config.path = "/".to_owned()).contains("path"));
        assert!(fault(|config| config.max_payload = 0).contains("zero"));
        assert!(fault(|config| config.max_packets_per_polling_response = 0).contains("zero"));
        assert!(fault(|config| config.max_handshakes_per_second_per_peer = 0).contains("zero"));
        assert!(fault(|config| config.outbox_hard_limit = 0).contains("zero"));
        assert!(fault(|config| config.inbound_total_limit = 0).contains("zero"));
        assert!(fault(|config| config.ping_timeout = Duration::MAX).contains("24 days"));
        assert!(fault(|config| config.ping_interval = Duration::from_millis(i32::MAX as u64)).contains("24 days"));
        for origin in ["https://a.example:443", "http://a.example:80", "https://"] {
            assert!(
                fault(|config| config.cors_allowed_origins = origin.into()).contains("no browser"),
                "{origin}"
            );
        }
        assert!(fault(|config| config.cors_allowed_origins = "https://a.example/".into()).contains("a.example/"));
        assert!(fault(|config| config.cors_allowed_origins = "a.example".into()).contains("scheme"));
        let cookie = |cookie| move |config: &mut Config| config.cookie = Some(cookie);
        assert!(fault(cookie(Cookie::named("a b"))).contains("token"));
        assert!(fault(cookie(Cookie::named(""))).contains("token"));
        let path = Some("/; Secure".to_owned());
        assert!(
            fault(cookie(Cookie {
                path,
                ..Cookie::default()
            }))
            .contains("semicolon")
        );
        let same_site = Some(SameSite::None);
        assert!(
            fault(cookie(Cookie {
                same_site,
                ..Cookie::default()
            }))
            .contains("secure")
        );
    }
}
