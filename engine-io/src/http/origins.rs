//! The origins whose pages may use the server.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use http::request::Parts;

use crate::http::origin::{self, Origin};

/// Entries of a list that a log line names.
const MAX_NAMED: usize = 3;

/// A function that decides about an origin.
type Decide = dyn Fn(&str, &Parts) -> bool + Send + Sync;

/// The origins whose pages may use the server.
///
/// Browsers name the origin of a page in the header `Origin`, and many other clients send one, too
/// (`docs/deploy.md` lists what); a request without one is never restricted. One whose origin is
/// not allowed gets the status 400 before all other checks, a WebSocket before it switches, and is
/// logged with the origin that it named and those that were expected, at most once a second.
///
/// Origins are compared without regard to case, to ports that a scheme has anyway, and to the
/// spelling of IPv6 addresses; `ws` is `http` and `wss` is `https`.
///
/// ```
/// use engine_io::Config;
/// use engine_io::config::AllowedOrigins;
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
    /// Behind a proxy also the origin that the first values of `X-Forwarded-Proto`,
    /// `X-Forwarded-Host` (or `Host`) and, for a host without a port, `X-Forwarded-Port` name;
    /// empty values are ignored. They are believed from every client: a page of another origin
    /// cannot set them (a browser sends a preflight first, which is refused), and a non-browser
    /// client could as well leave `Origin` out. A proxy that ends TLS must pass `X-Forwarded-Proto`
    /// on, or its pages are of a foreign origin.
    ///
    /// This does not stop a page whose own name was made to point at this server (DNS rebinding); a
    /// list does.
    #[default]
    SameOrigin,
    /// Every origin, and any text in the header. With
    /// [`cors_credentials`](crate::Config::cors_credentials) any page can act with the cookies of
    /// its visitor.
    Any,
    /// Exactly these, such as `https://app.example:8443`; an empty list allows none.
    List(Vec<String>),
    /// Those for which a predicate returns true; it is given the origin and the request. See
    /// [`matching`](Self::matching).
    Matching(Arc<Decide>),
    /// No origin is checked, no header is added and `OPTIONS` is not a preflight: a layer in front
    /// does all that.
    Off,
}

impl AllowedOrigins {
    /// Allows the origins for which `decide` returns true.
    ///
    /// It is called for each request with one header `Origin`, and must not block. It is given what
    /// the client sent: mostly a scheme and an authority, but `null`, `file://`, `*`, an empty text
    /// or anything else is possible. Compare the whole text, or parse it.
    ///
    /// ```
    /// # use engine_io::config::AllowedOrigins;
    /// // Pages of this server, and a client whose library sends an origin of its own making.
    /// let origins = AllowedOrigins::matching(|origin, request| {
    ///     origin == "file://" || AllowedOrigins::is_same_origin(origin, request)
    /// });
    /// ```
    pub fn matching(decide: impl Fn(&str, &Parts) -> bool + Send + Sync + 'static) -> Self {
        Self::Matching(Arc::new(decide))
    }

    /// Returns whether a request was sent to `origin`, as [`SameOrigin`](Self::SameOrigin) does: for
    /// predicates that allow more.
    pub fn is_same_origin(origin: &str, request: &Parts) -> bool {
        Origin::parse(origin).is_some_and(|origin| origin.is_same(request))
    }

    /// Returns whether pages of an origin may use the server.
    pub(crate) fn allow(&self, origin: &str, parts: &Parts) -> bool {
        match self {
            Self::SameOrigin => Self::is_same_origin(origin, parts),
            Self::Any | Self::Off => true,
            Self::List(list) => is_listed(list, origin),
            Self::Matching(decide) => decide(origin, parts),
        }
    }

    /// Names the origins that would have been allowed, for a log line.
    pub(crate) fn expected(&self, parts: &Parts) -> String {
        match self {
            Self::SameOrigin => joined(origin::sent_to(parts).into_iter().flatten()),
            Self::Any | Self::Off => "any".to_owned(),
            Self::List(list) => {
                let mut text = joined(list.iter().take(MAX_NAMED));
                if let Some(more @ 1..) = list.len().checked_sub(MAX_NAMED) {
                    // Writing to a string does not fail.
                    let _ = write!(text, " or {more} more");
                }
                text
            }
            Self::Matching(_) => "one that the predicate accepts".to_owned(),
        }
    }

    /// Returns an entry that browsers never send.
    pub(crate) fn unusable(&self) -> Option<&str> {
        let Self::List(list) = self else { return None };
        let mut entries = list.iter().map(String::as_str);
        entries.find(|each| *each != "null" && !Origin::parse(each).is_some_and(|origin| origin.is_canonical()))
    }
}

/// Returns whether a list holds an origin, in any spelling.
fn is_listed(list: &[String], text: &str) -> bool {
    let origin = Origin::parse(text);
    list.iter().any(|each| {
        let is_equal = |origin: &Origin<'_>| Origin::parse(each).is_some_and(|each| each.equals(origin));
        each.eq_ignore_ascii_case(text) || origin.as_ref().is_some_and(is_equal)
    })
}

/// Joins different origins for a log line.
pub(crate) fn joined(origins: impl Iterator<Item = impl fmt::Display>) -> String {
    let mut text = String::new();
    for origin in origins {
        let origin = origin.to_string();
        if !text.contains(&origin) {
            text.push_str(if text.is_empty() { "" } else { " or " });
            text.push_str(&origin);
        }
    }
    text
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
