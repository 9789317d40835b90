//! Which pages of other origins may talk to the server.

use std::fmt;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, uri};

use crate::answer::{self, Refusal};
use crate::{Config, ResponseBody, Secure};

/// The methods that a preflight allows.
const METHODS: HeaderValue = HeaderValue::from_static("OPTIONS, GET, POST");

/// A function that decides about an origin.
type Decide = dyn Fn(&str, &Parts) -> bool + Send + Sync;

/// The origins whose pages may talk to the server.
///
/// Browsers name the origin of a page in the header `Origin`; a request without one is never restricted. One whose origin
/// is not allowed is answered with 400 before anything else is looked at, a WebSocket before it switches.
///
/// ```
/// use engine_io::{AllowedOrigins, Config};
///
/// let one = Config { cors_allowed_origins: "https://app.example".into(), ..Config::default() };
/// let many = Config {
///     cors_allowed_origins: ["https://app.example", "https://admin.example:8443"].into(),
///     ..Config::default()
/// };
/// let computed = Config {
///     cors_allowed_origins: AllowedOrigins::matching(|origin, _request| origin.ends_with(".example")),
///     ..Config::default()
/// };
/// # for config in [one, many, computed] { config.validate().unwrap(); }
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum AllowedOrigins {
    /// The origin that the request itself was sent to: its scheme and its `Host`.
    ///
    /// Behind a proxy that is what the first values of `X-Forwarded-Proto` and `X-Forwarded-Host` name, too. They are
    /// believed from everybody: a page of another origin cannot set them (a browser asks with a preflight first, which
    /// is refused), and a client that is no browser could as well leave `Origin` out. A proxy that ends TLS must pass
    /// `X-Forwarded-Proto` on, or its pages look foreign.
    ///
    /// This does not stop a page whose own name was made to point at this server (DNS rebinding); a list does.
    #[default]
    SameOrigin,
    /// Every origin. With [`cors_credentials`](Config::cors_credentials) any page can act with the cookies of its visitor.
    Any,
    /// Exactly these, such as `https://app.example:8443`; an empty list allows none.
    List(Vec<String>),
    /// Those for which a function returns true; it is given the origin and the request. See [`matching`](Self::matching).
    Matching(Arc<Decide>),
    /// No origin is checked, no header is added and `OPTIONS` is no preflight: a layer in front does all that.
    Off,
}

impl AllowedOrigins {
    /// Allows the origins for which `decide` returns true.
    ///
    /// The origin is `null`, or has a scheme and an authority; it is called for each request that names one, and must not
    /// block.
    pub fn matching(decide: impl Fn(&str, &Parts) -> bool + Send + Sync + 'static) -> Self {
        Self::Matching(Arc::new(decide))
    }

    fn allow(&self, origin: &Origin<'_>, parts: &Parts) -> bool {
        match self {
            Self::SameOrigin => origin.is_same(parts),
            Self::Any | Self::Off => true,
            Self::List(list) => list.iter().any(|each| each.eq_ignore_ascii_case(origin.text)),
            Self::Matching(decide) => decide(origin.text, parts),
        }
    }

    /// Returns an entry that no browser would ever send.
    pub(crate) fn unusable(&self) -> Option<&str> {
        let Self::List(list) = self else { return None };
        let mut entries = list.iter().map(String::as_str);
        entries.find(|each| !Origin::parse(each).is_some_and(|origin| origin.is_canonical()))
    }
}

/// `*` is [`Any`](AllowedOrigins::Any), everything else one origin.
impl From<&str> for AllowedOrigins {
    fn from(origin: &str) -> Self {
        if origin == "*" {
            Self::Any
        } else {
            Self::List(vec![origin.to_owned()])
        }
    }
}

impl<const N: usize> From<[&str; N]> for AllowedOrigins {
    fn from(origins: [&str; N]) -> Self {
        Self::List(origins.map(str::to_owned).into())
    }
}

impl From<Vec<String>> for AllowedOrigins {
    fn from(origins: Vec<String>) -> Self {
        Self::List(origins)
    }
}

impl fmt::Debug for AllowedOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameOrigin => f.write_str("SameOrigin"),
            Self::Any => f.write_str("Any"),
            Self::List(list) => f.debug_tuple("List").field(list).finish(),
            Self::Matching(_) => f.write_str("Matching(..)"),
            Self::Off => f.write_str("Off"),
        }
    }
}

/// An origin whose answers its pages may read.
///
/// Owns its text: a poll that waits must not keep the head of its request.
pub(crate) struct Grant(Box<str>);

/// Decides about the origin of a request; none for a request that names no origin, and when others decide.
pub(crate) fn check(config: &Config, parts: &Parts) -> Result<Option<Grant>, Refusal> {
    let Some(value) = parts.headers.get(header::ORIGIN) else {
        return Ok(None);
    };
    let alone = parts.headers.get_all(header::ORIGIN).iter().count() == 1;
    let text = value.to_str().ok().filter(|_| alone);
    let origin = text.and_then(Origin::parse).ok_or(Refusal::BadRequest)?;
    let allowed = &config.cors_allowed_origins;
    if !allowed.allow(&origin, parts) {
        return Err(Refusal::ForeignOrigin);
    }
    Ok((!matches!(allowed, AllowedOrigins::Off)).then(|| Grant(origin.text.into())))
}

/// Tells whether a browser asks before it sends the request proper.
pub(crate) fn is_preflight(config: &Config, parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(header::ORIGIN)
        && !matches!(config.cors_allowed_origins, AllowedOrigins::Off)
}

impl Grant {
    /// Adds the headers by which a browser lets the page read the answer.
    pub(crate) fn apply(&self, config: &Config, headers: &mut HeaderMap) {
        let any = matches!(config.cors_allowed_origins, AllowedOrigins::Any);
        if any && !config.cors_credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return;
        }
        let origin = HeaderValue::from_str(&self.0).expect("it was a header before");
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if config.cors_credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }

    /// Answers a preflight; its own headers are still to be [applied](Self::apply).
    pub(crate) fn answer_preflight(requested: &HeaderMap) -> Response<ResponseBody> {
        let mut response = answer::empty(204);
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        let wanted = requested.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        if let Some(names) = wanted.filter(|names| is_list_of_names(names)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        headers.append(header::VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
        response
    }
}

fn is_list_of_names(value: &HeaderValue) -> bool {
    let name = |name: &str| HeaderName::from_bytes(name.trim().as_bytes()).is_ok();
    value.to_str().is_ok_and(|names| names.split(',').all(name))
}

/// An origin of the form that browsers send.
struct Origin<'a> {
    text: &'a str,
    /// Scheme and authority; none for `null`.
    parts: Option<(&'a str, &'a str)>,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if text == "null" {
            return Some(Self { text, parts: None });
        }
        let (scheme, authority) = text.split_once("://")?;
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        // The authority may be empty: pages from files of a phone's application are `file://`.
        let printable = |byte: u8| byte.is_ascii_graphic() && !b"/\\?#@\"<>,".contains(&byte);
        let valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(letters)
            && authority.bytes().all(printable);
        valid.then_some(Self {
            text,
            parts: Some((scheme, authority)),
        })
    }

    /// Tells whether browsers would write it like this.
    fn is_canonical(&self) -> bool {
        self.parts.is_none_or(|(scheme, host)| {
            let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
            !web || !host.is_empty() && without_default_port(scheme, host) == host
        })
    }

    /// Tells whether the request was sent to this origin.
    fn is_same(&self, parts: &Parts) -> bool {
        let secure = parts.extensions.get::<Secure>().is_some() || parts.uri.scheme() == Some(&uri::Scheme::HTTPS);
        let scheme = if secure { "https" } else { "http" };
        let host = first(&parts.headers, &header::HOST).or_else(|| parts.uri.authority().map(uri::Authority::as_str));
        if host.is_some_and(|host| self.is(scheme, host)) {
            return true;
        }
        let forwarded_scheme = first(&parts.headers, &FORWARDED_PROTO);
        let forwarded_host = first(&parts.headers, &FORWARDED_HOST);
        (forwarded_scheme.is_some() || forwarded_host.is_some())
            && forwarded_host
                .or(host)
                .is_some_and(|host| self.is(forwarded_scheme.unwrap_or(scheme), host))
    }

    fn is(&self, scheme: &str, host: &str) -> bool {
        self.parts.is_some_and(|(own_scheme, own_host)| {
            let bare = |host| without_default_port(scheme, host);
            own_scheme.eq_ignore_ascii_case(scheme)
                && !host.is_empty()
                && bare(own_host).eq_ignore_ascii_case(bare(host))
        })
    }
}

static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Returns the first of the values of a header; those of proxies further in follow it.
fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let values = headers.get(name)?.to_str().ok()?;
    values.split(',').next().map(str::trim)
}

/// Browsers leave the port out if it is the scheme's own; others need not.
fn without_default_port<'a>(scheme: &str, host: &'a str) -> &'a str {
    let port = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else {
        ":80"
    };
    host.strip_suffix(port).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_a_scheme_and_an_authority_or_are_null() {
        for text in [
            "null",
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
        let same = |origin, scheme, host| Origin::parse(origin).unwrap().is(scheme, host);
        assert!(same("http://a", "http", "a:80") && same("https://A:443", "https", "a"));
        assert!(same("http://[::1]", "http", "[::1]:80"));
        assert!(
            !same("http://a", "https", "a") && !same("http://a:443", "http", "a") && !same("http://a", "http", "a:443")
        );
        assert!(!same("null", "http", "null") && !same("http://", "http", ""));
    }
}
