//! Origins: their syntax, their comparison, and the origins that a request may have been sent to.

use std::fmt::{self, Display};
use std::net::Ipv6Addr;

use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::uri;

use crate::http::handshake::Secure;

/// The scheme that a browser used, as a proxy says.
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host that a browser used, as a proxy says.
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The port that a browser used, as a proxy says.
static FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Scheme and authority of an origin, or of an address that a request was sent to.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// The scheme, that of HTTP for WebSockets.
    scheme: &'a str,
    /// The host, and maybe a port.
    authority: &'a str,
    /// A port that the authority does not name.
    port: Option<&'a str>,
}

impl<'a> Origin<'a> {
    /// Reads `scheme://authority`. The authority may be empty: pages from files of a phone's
    /// application are `file://`.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let printable = |byte: u8| byte.is_ascii_graphic() && !b"/\\?#@\"<>,".contains(&byte);
        let is_valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(letters)
            && authority.bytes().all(printable);
        is_valid.then_some(Self::of(scheme, authority))
    }

    /// Makes an origin of its parts.
    fn of(scheme: &'a str, authority: &'a str) -> Self {
        Self {
            scheme: http_scheme(scheme),
            authority,
            port: None,
        }
    }

    /// Returns whether browsers would write it like this.
    pub(crate) fn is_canonical(&self) -> bool {
        let Some(default) = default_port(self.scheme) else {
            return true;
        };
        !self.authority.is_empty() && host_and_port(self.authority).1 != Some(default)
    }

    /// Returns whether the request was sent to this origin.
    pub(crate) fn is_same(&self, parts: &Parts) -> bool {
        sent_to(parts).iter().flatten().any(|sent_to| self.equals(sent_to))
    }

    /// Compares without regard to case, to ports that a scheme has anyway, and to the spelling of
    /// IPv6 addresses.
    pub(crate) fn equals(&self, other: &Origin<'_>) -> bool {
        let (host, port) = self.host_and_port();
        let (other_host, other_port) = other.host_and_port();
        self.scheme.eq_ignore_ascii_case(other.scheme) && port == other_port && is_same_host(host, other_host)
    }

    /// Returns the host and its port, that of the scheme if none is named.
    fn host_and_port(&self) -> (&'a str, Option<&'a str>) {
        let (host, port) = host_and_port(self.authority);
        (host, port.or(self.port).or_else(|| default_port(self.scheme)))
    }
}

impl Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Returns the addresses that the request may have been sent to: what the request says itself, what
/// proxies say, and the latter with the port that proxies say.
pub(crate) fn sent_to(parts: &Parts) -> [Option<Origin<'_>>; 3] {
    let is_secure = parts.extensions.get::<Secure>().is_some() || parts.uri.scheme() == Some(&uri::Scheme::HTTPS);
    let scheme = if is_secure { "https" } else { "http" };
    let host = first(&parts.headers, &header::HOST).or_else(|| parts.uri.authority().map(uri::Authority::as_str));
    let own = host.map(|host| Origin::of(scheme, host));
    let (proto, forwarded_host) = (
        first(&parts.headers, &FORWARDED_PROTO),
        first(&parts.headers, &FORWARDED_HOST),
    );
    let seen = forwarded_host
        .or(host)
        .map(|host| Origin::of(proto.unwrap_or(scheme), host));
    let forwarded = seen.filter(|_| proto.is_some() || forwarded_host.is_some());
    let port = first(&parts.headers, &FORWARDED_PORT).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let with_port = seen
        .filter(|seen| port.is_some() && host_and_port(seen.authority).1.is_none())
        .map(|seen| Origin { port, ..seen });
    [own, forwarded, with_port]
}

/// Returns the first of the values of a header, unless it is empty; those of inner proxies follow
/// it.
fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let values = headers.get(name)?.to_str().ok()?;
    values
        .split(',')
        .next()
        .map(str::trim)
        .filter(|first| !first.is_empty())
}

/// Replaces the schemes of WebSockets, which some proxies and clients use for origins, by those of
/// HTTP.
fn http_scheme(scheme: &str) -> &str {
    match scheme.len() {
        2 if scheme.eq_ignore_ascii_case("ws") => "http",
        3 if scheme.eq_ignore_ascii_case("wss") => "https",
        _ => scheme,
    }
}

/// Returns the port that browsers leave out, because it is the scheme's own.
fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme.len() {
        4 if scheme.eq_ignore_ascii_case("http") => Some("80"),
        5 if scheme.eq_ignore_ascii_case("https") => Some("443"),
        _ => None,
    }
}

/// Splits the port off; an IPv6 address keeps its brackets if it has some.
fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    let end = authority.rfind(']').map_or(0, |end| end + 1);
    match authority[end..].split_once(':') {
        // Several colons and no bracket: an address that was passed on bare.
        Some((_, port)) if port.contains(':') => (authority, None),
        Some((host, port)) => (
            &authority[..end + host.len()],
            Some(port).filter(|port| !port.is_empty()),
        ),
        None => (authority, None),
    }
}

/// Compares hosts; IPv6 addresses by their value.
fn is_same_host(one: &str, other: &str) -> bool {
    if one.is_empty() || one.eq_ignore_ascii_case(other) {
        return !one.is_empty();
    }
    let address = |host: &str| host.trim_matches(['[', ']']).parse::<Ipv6Addr>().ok();
    one.contains(':') && address(one).is_some_and(|one| address(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_a_scheme_and_an_authority() {
        for text in [
            "http://a",
            "https://a.example:8443",
            "http://[::1]:80",
            "file://",
            "moz-extension://0-1",
        ] {
            assert!(Origin::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "a",
            "null",
            "*",
            "http:/a",
            "://a",
            "1http://a",
            "http://a/",
            "http://a b",
            "http://a, http://b",
            "http://u@a",
        ] {
            assert!(Origin::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn default_ports_and_case_do_not_matter() {
        let same = |origin, scheme, host| Origin::parse(origin).unwrap().equals(&Origin::of(scheme, host));
        assert!(same("http://a", "http", "a:80") && same("https://A:443", "https", "a"));
        assert!(same("http://[::1]", "http", "[::1]:80") && same("http://[0:0::1]", "http", "::1"));
        assert!(same("http://a", "ws", "a") && same("wss://a:443", "https", "a"));
        assert!(same("http://a:", "http", "a"));
        assert!(
            !same("http://a", "https", "a") && !same("http://a:443", "http", "a") && !same("http://a", "http", "a:443")
        );
        assert!(!same("http://", "http", "") && !same("http://[::1]", "http", "[::2]"));
        assert!(!same("http://1", "http", "[::1]") && !same("http://[::1]:81", "http", "[::1]"));
    }
}
