//! The page at `/`, and 404 for everything else that is not Socket.IO.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower_service::Service;

const PAGE: &str = include_str!("../page.html");

/// Answers requests for the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page;

impl<B> Service<Request<B>> for Page {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(answer(request.method(), request.uri().path())))
    }
}

fn answer(method: &Method, path: &str) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/") => (StatusCode::OK, "text/html; charset=utf-8", PAGE),
        (_, "/") => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n"),
        _ => (StatusCode::NOT_FOUND, "text/plain", "not found; the page is at /\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_is_there() {
        assert_eq!(answer(&Method::GET, "/").status(), StatusCode::OK);
        assert_eq!(answer(&Method::POST, "/").status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer(&Method::GET, "/index.php").status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn the_page_needs_nothing_from_the_network() {
        for attribute in ["src=\"", "@import", "url(", "http://", "https://"] {
            let foreign = PAGE
                .match_indices(attribute)
                .map(|(at, _)| &PAGE[at..(at + 60).min(PAGE.len())]);
            let foreign: Vec<_> = foreign.filter(|text| !text.contains("www.w3.org/2000/svg")).collect();
            assert!(foreign.is_empty(), "{foreign:?}");
        }
    }
}
