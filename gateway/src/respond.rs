//! Responses of the services for operators: short texts, of GET and HEAD alone.

use std::convert::Infallible;
use std::future::{Ready, ready};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::Full;

/// The body of a response.
pub(crate) type Body = Full<Bytes>;
/// A response that is there at once.
pub(crate) type Responding = Ready<Result<Response<Body>, Infallible>>;

/// The type of a text for people.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// Responds to GET and HEAD, by a status, a type and a text; to other methods with 405.
pub(crate) fn to_read(method: &Method, text: impl FnOnce() -> (StatusCode, &'static str, String)) -> Responding {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".into());
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return ready(Ok(refused));
    }
    let (status, content_type, text) = text();
    ready(Ok(response(status, content_type, text)))
}

/// Responds with a text. The server leaves the body of a response to HEAD out.
fn response(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
