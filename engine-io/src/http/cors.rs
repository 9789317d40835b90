//! Cross-origin resource sharing: the check of a request's origin, and the headers of the response.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response};

use crate::config::Config;
use crate::http::body::ResponseBody;
use crate::http::origins::{AllowedOrigins, joined};
use crate::http::refusal::Refusal;
use crate::http::response;
use crate::log::{Limited, cut, quietly};

/// The methods that a preflight allows.
const METHODS: HeaderValue = HeaderValue::from_static("OPTIONS, GET, POST");

/// An origin whose pages may read the response.
///
/// Owns its text: a poll that waits must not keep the head of its request.
pub(crate) struct Grant(Box<str>);

/// Checks the origin of a request; there is no grant for a request that names no origin, and where
/// a layer in front decides.
pub(crate) fn check(config: &Config, parts: &Parts) -> Result<Option<Grant>, Refusal> {
    let allowed = &config.cors_allowed_origins;
    let mut values = parts.headers.get_all(header::ORIGIN).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match allowed {
        AllowedOrigins::Off => return Ok(None),
        AllowedOrigins::Any => {}
        _ if values.next().is_some() || !allowed.allow(&text(value), parts) => return Err(Refusal::ForeignOrigin),
        _ => {}
    }
    // Text that browsers never send is not echoed.
    Ok(value.to_str().ok().map(|text| Grant(text.into())))
}

/// Logs the origin of a request that was refused, and those that would have been allowed; at most
/// once a second.
pub(crate) fn log_foreign(config: &Config, limit: &Limited, parts: &Parts) {
    let Some(suppressed) = limit.pass() else {
        return;
    };
    let origin = joined(parts.headers.get_all(header::ORIGIN).iter().map(text));
    let expected = config.cors_allowed_origins.expected(parts);
    quietly(|| {
        tracing::warn!(
            target: "engine_io",
            origin = ?cut(&origin),
            expected = ?cut(&expected),
            suppressed,
            "a request was refused: its origin is not an allowed one (allow it in cors_allowed_origins; behind a proxy, pass the \
             browser's host and scheme on as X-Forwarded-Host and X-Forwarded-Proto)"
        );
    });
}

/// Returns a header as text, whose invalid bytes are replaced.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// Returns whether a request is a preflight, by which a browser asks before it sends the request
/// proper.
pub(crate) fn is_preflight(config: &Config, parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(header::ORIGIN)
        && !matches!(config.cors_allowed_origins, AllowedOrigins::Off)
}

impl Grant {
    /// Adds the headers by which a browser lets the page read the response.
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

    /// Returns the response to a preflight; the grant is still to be [applied](Self::apply).
    pub(crate) fn preflight_response(requested: &HeaderMap) -> Response<ResponseBody> {
        let mut response = response::empty(204);
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

/// Returns whether a header is a list of names of headers.
fn is_list_of_names(value: &HeaderValue) -> bool {
    let name = |name: &str| HeaderName::from_bytes(name.trim().as_bytes()).is_ok();
    value.to_str().is_ok_and(|names| names.split(',').all(name))
}
