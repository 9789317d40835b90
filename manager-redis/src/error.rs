//! What can go wrong with Redis, and what the caller is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use manager_api::backend::{self, may_be_published, seconds, tls};
use manager_api::{Error, ErrorKind};
use redis::RedisError;

use crate::hello::Unsuited;

/// One failed attempt to use a connection, shared by all whom it concerns.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) address: String,
    what: String,
    is_refused: bool,
    /// Whether the server ended the connection.
    pub(crate) is_cut: bool,
    source: Option<RedisError>,
}

/// What a server answered with an error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Asked<'a> {
    Login,
    /// For its role, or a sign of life.
    Hello,
    Sentinel,
    Subscribe(&'a str),
    Publish(&'a str),
}

impl Failure {
    /// The socket, TLS or the name look-up failed.
    pub(crate) fn io(address: &str, error: std::io::Error) -> Self {
        let refusal = tls::refusal(&error);
        let is_refused = refusal.is_some();
        let what = refusal.unwrap_or_else(|| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            std::io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
            _ => error.to_string(),
        });
        Self {
            address: address.to_owned(),
            what,
            is_refused,
            is_cut: error.kind() == std::io::ErrorKind::ConnectionReset,
            source: Some(error.into()),
        }
    }

    /// The server answered with an error.
    pub(crate) fn server(address: &str, asked: Asked<'_>, error: RedisError) -> Self {
        let (is_refused, what) = judged(asked, &error);
        Self {
            address: address.to_owned(),
            what,
            is_refused,
            is_cut: false,
            source: Some(error),
        }
    }

    /// The server answers, and will go on to answer the same.
    pub(crate) fn refusal(address: &str, what: impl Into<String>) -> Self {
        Self {
            is_refused: true,
            ..Self::other(address, what)
        }
    }

    /// Messages would not reach all who listen.
    pub(crate) fn unsuited(address: &str, unsuited: Unsuited, master: Option<&str>) -> Self {
        match unsuited {
            Unsuited::Replica => {
                let whose = master.map(|master| format!(" of {master}")).unwrap_or_default();
                let text = format!(
                    "a replica{whose}, on which messages reach only those who listen there: name the master in the URL, or the sentinels \
                     (redis+sentinel://)"
                );
                Self::refusal(address, text)
            }
            Unsuited::Sentinel => Self::refusal(address, "a sentinel: the URL begins with redis+sentinel://"),
        }
    }

    /// The same, of a server that was suited once.
    pub(crate) fn demoted(address: &str, unsuited: Unsuited) -> Self {
        match unsuited {
            Unsuited::Replica => Self::other(
                address,
                "the master was made a replica, on which messages reach only those who listen there",
            ),
            Unsuited::Sentinel => Self::unsuited(address, unsuited, None),
        }
    }

    /// The server ended the connection.
    pub(crate) fn closed(address: &str) -> Self {
        Self {
            is_cut: true,
            ..Self::other(address, "the server closed the connection")
        }
    }

    /// The server wants TLS.
    pub(crate) fn with_tls(address: &str) -> Self {
        Self::refusal(
            address,
            "this port speaks TLS: connect by rediss:// instead of redis://",
        )
    }

    /// The server has no TLS.
    pub(crate) fn without_tls(address: &str) -> Self {
        Self::refusal(
            address,
            "this port speaks no TLS: connect by redis:// instead of rediss://, or to the TLS port",
        )
    }

    /// The server said `input` instead of its first reply: another service listens there.
    pub(crate) fn another_service(address: &str, input: &[u8], has_tls: bool) -> Self {
        match !has_tls && tls::is_tls_alert(input) {
            true => Self::with_tls(address),
            false => Self::refusal(
                address,
                "the answer is not in Redis' protocol: another service listens at this port",
            ),
        }
    }

    /// A server that replied before said something else: the connection is of no use, and the next one may be.
    pub(crate) fn not_redis(address: &str) -> Self {
        Self::other(address, "the answer is not in Redis' protocol")
    }

    /// Anything else that happened at `address`.
    pub(crate) fn other(address: &str, what: impl Into<String>) -> Self {
        Self {
            address: address.to_owned(),
            what: what.into(),
            is_refused: false,
            is_cut: false,
            source: None,
        }
    }

    /// What a caller is told whose message was on its way when the connection was lost.
    pub(crate) fn lost(self: &Arc<Self>) -> Error {
        let text = format!(
            "the connection to Redis at {} was lost before it answered ({})",
            self.address, self.what
        );
        may_be_published(Error::new(ErrorKind::Publish, text).with_source(self.clone()))
    }
}

impl backend::Failure for Failure {
    /// The login is wrong or not enough.
    fn is_refused(&self) -> bool {
        self.is_refused
    }

    fn unreachable(self: &Arc<Self>, deadline: Duration) -> Error {
        let text = match self.is_refused {
            true => format!("the broker refuses: {self}"),
            false => format!("cannot reach the broker within {}: {self}", seconds(deadline)),
        };
        let error = Error::new(ErrorKind::Connect, text).with_source(self.clone());
        match self.is_refused {
            true => error.refused(),
            false => error,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis at {}: {}", self.address, self.what)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

pub(crate) fn timed_out(address: &str, deadline: Duration) -> Error {
    let within = seconds(deadline);
    let text = format!("Redis at {address} did not answer within {within}");
    Error::new(ErrorKind::Timeout, text)
}

/// The server at `address` took the message for `channel` and refused it.
pub(crate) fn refused(address: &str, channel: &str, error: RedisError) -> Error {
    let (is_refusal, what) = judged(Asked::Publish(channel), &error);
    let text = format!("Redis at {address} refused the message: {what}");
    let told = Error::new(ErrorKind::Publish, text).with_source(error);
    match is_refusal {
        true => told.refused(),
        false => told,
    }
}

/// Tells whether an answer is a refusal, and says it in words.
fn judged(asked: Asked<'_>, error: &RedisError) -> (bool, String) {
    let detail = error.detail().unwrap_or_default();
    if error.code() == Some("NOPERM") {
        let right = missing_right(asked, detail);
        return (
            true,
            format!("not permitted: the user lacks the right {right} ({error})"),
        );
    }
    // What a server says to all who connect, whatever they ask.
    let passes = matches!(
        error.code(),
        Some("LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN")
    );
    if passes || detail.contains("max number of clients") {
        return (false, format!("the server is not ready: {error}"));
    }
    if error.code() == Some("DENIED") {
        return (
            true,
            format!("not permitted: the server takes local connections only (protected mode): {error}"),
        );
    }
    if matches!(error.code(), Some("NOAUTH")) || detail.contains("NOAUTH") {
        return (
            true,
            format!("authentication failed: the server wants a password: {error}"),
        );
    }
    if matches!(asked, Asked::Sentinel) && detail.contains("unknown command") {
        return (
            true,
            format!("a Redis server and not a sentinel: connect by redis:// instead of redis+sentinel://: {error}"),
        );
    }
    match asked {
        Asked::Login => (true, format!("authentication failed: {}{error}", login_advice(detail))),
        _ if error.code() == Some("WRONGPASS") => (true, format!("authentication failed: {error}")),
        _ => (false, format!("the server refused: {error}")),
    }
}

/// Returns what to change in the URL where the server's words about a login tell it; empty if they do not.
fn login_advice(detail: &str) -> &'static str {
    if detail.contains("wrong number of arguments") {
        return "this server knows no users, as Redis before 6: leave the user out of the URL, as in redis://:password@host: ";
    }
    match detail.contains("without any password") || detail.contains("no password is set") {
        true => "the server has no password: leave it out of the URL: ",
        false => "",
    }
}

/// Names the right that a refused command needs, as `ACL SETUSER` grants it.
fn missing_right(asked: Asked<'_>, detail: &str) -> String {
    let is_channel = detail.contains("channel");
    match asked {
        Asked::Subscribe(channel) | Asked::Publish(channel) if is_channel => format!("&{channel}"),
        Asked::Subscribe(_) => "+subscribe".to_owned(),
        Asked::Publish(_) => "+publish".to_owned(),
        Asked::Sentinel => "+sentinel|get-master-addr-by-name".to_owned(),
        Asked::Login => "+auth".to_owned(),
        Asked::Hello => "+hello or +ping".to_owned(),
    }
}
