//! The cookie that holds the id of a session, by which a load balancer finds its server.

use std::fmt::Write as _;
use std::time::Duration;

use http::HeaderValue;

/// With which requests of other sites a browser sends a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// With none.
    Strict,
    /// With those that lead to a page of ours.
    Lax,
    /// With all; browsers demand [`secure`](Cookie::secure) for it.
    None,
}

/// A cookie that holds the secret id of the session, for load balancers that keep a client at one
/// server.
///
/// It is set by the response that opens a session on long-polling, and by no other: a session that
/// begins as a WebSocket is one connection, which cannot be routed twice. The server itself never
/// reads it.
///
/// ```
/// use engine_io::Config;
/// use engine_io::config::Cookie;
///
/// let config = Config {
///     cookie: Some(Cookie { secure: true, ..Cookie::named("io") }),
///     ..Config::default()
/// };
/// # config.validate().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Its name. Default `io`.
    pub name: String,
    /// The path below which it is sent. Default `/`; without one it is the directory of the
    /// request.
    pub path: Option<String>,
    /// The domain whose hosts it is sent to. Default none: only the host that set it.
    pub domain: Option<String>,
    /// How long the browser keeps it, to the second. Default none: until the browser is closed.
    pub max_age: Option<Duration>,
    /// Whether scripts are kept from reading it. Default true.
    pub http_only: bool,
    /// Whether it is sent over TLS alone. Default false.
    pub secure: bool,
    /// With which requests of other sites it is sent. Default [`SameSite::Lax`].
    pub same_site: Option<SameSite>,
}

impl Default for Cookie {
    fn default() -> Self {
        Self::named("io")
    }
}

impl Cookie {
    /// Creates a cookie of this name whose other fields have their defaults.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            path: Some("/".to_owned()),
            domain: None,
            max_age: None,
            http_only: true,
            secure: false,
            same_site: Some(SameSite::Lax),
        }
    }

    /// Returns what is wrong with the cookie.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let name = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
        let value = |byte: u8| byte.is_ascii_graphic() && byte != b';';
        let attributes = [&self.path, &self.domain].into_iter().flatten();
        if self.name.is_empty() || !self.name.bytes().all(name) {
            Some("the name of the cookie is not a token")
        } else if !attributes.into_iter().all(|text| text.bytes().all(value)) {
            Some("path and domain of the cookie must be printable and hold no semicolon")
        } else if self.same_site == Some(SameSite::None) && !self.secure {
            Some("a cookie with SameSite=None must be secure")
        } else {
            None
        }
    }

    /// Returns the value of the header `Set-Cookie`.
    pub(crate) fn header(&self, sid: &str) -> HeaderValue {
        let mut text = format!("{}={sid}", self.name);
        // Writing to a string cannot fail.
        if let Some(path) = &self.path {
            let _ = write!(text, "; Path={path}");
        }
        if let Some(domain) = &self.domain {
            let _ = write!(text, "; Domain={domain}");
        }
        if let Some(max_age) = self.max_age {
            let _ = write!(text, "; Max-Age={}", max_age.as_secs());
        }
        for (set, name) in [(self.http_only, "; HttpOnly"), (self.secure, "; Secure")] {
            text.push_str(if set { name } else { "" });
        }
        text.push_str(match self.same_site {
            Some(SameSite::Strict) => "; SameSite=Strict",
            Some(SameSite::Lax) => "; SameSite=Lax",
            Some(SameSite::None) => "; SameSite=None",
            None => "",
        });
        let mut value = HeaderValue::from_str(&text).expect("checked with the configuration");
        value.set_sensitive(true);
        value
    }
}
