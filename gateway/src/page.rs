//! The page of the ready-made server, at `/`.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower_service::Service;

/// The page, as it is for the default path of Socket.IO.
const PAGE: &str = include_str!("page.html");
/// How the page names that path.
const PATH: &str = "data-path=\"/socket.io/\"";

/// A service that answers `GET /` with a page for people, and everything else with 404.
///
/// The page connects to the server that it comes from, enters rooms and shows what arrives in them. It needs nothing else from the network, and no
/// other page may frame it. Its query may name a namespace and rooms, its fragment a token, which no proxy sees:
/// `/?namespace=/chat&room=lobby#token=…`.
///
/// ```no_run
/// use gateway::page::Page;
/// use socket_io::SocketIo;
/// use socket_io::service::serve_with;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// serve_with(listener, SocketIo::new(), Page::default(), std::future::pending()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Page {
    /// `None` answers with 404.
    html: Option<Bytes>,
}

impl Page {
    /// Makes the page for a server at this path of Socket.IO.
    pub fn new(path: &str) -> Self {
        let escaped = path.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        let html = PAGE.replacen(PATH, &format!("data-path=\"{escaped}\""), 1);
        Self {
            html: Some(html.into()),
        }
    }

    /// Makes a service without a page, which answers everything with 404.
    pub fn hidden() -> Self {
        Self { html: None }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let text = Bytes::from_static;
        let (status, kind, body) = match (method, path, &self.html) {
            (&Method::GET | &Method::HEAD, "/", Some(html)) => {
                (StatusCode::OK, "text/html; charset=utf-8", html.clone())
            }
            (_, "/", Some(_)) => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", text(b"only GET\n")),
            (_, _, Some(_)) => (
                StatusCode::NOT_FOUND,
                "text/plain",
                text(b"not found; the page is at /\n"),
            ),
            (_, _, None) => (StatusCode::NOT_FOUND, "text/plain", text(b"not found\n")),
        };
        let mut response = Response::new(Full::new(body));
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
}

impl Default for Page {
    /// The page for the default path of Socket.IO, `/socket.io/`.
    fn default() -> Self {
        Self::new("/socket.io/")
    }
}

impl<B> Service<Request<B>> for Page {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request.method(), request.uri().path())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_is_there() {
        let status = |page: &Page, method, path| page.answer(&method, path).status();
        let page = Page::default();
        assert_eq!(status(&page, Method::GET, "/"), StatusCode::OK);
        assert_eq!(status(&page, Method::POST, "/"), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(status(&page, Method::GET, "/index.php"), StatusCode::NOT_FOUND);
        assert_eq!(status(&Page::hidden(), Method::GET, "/"), StatusCode::NOT_FOUND);
    }

    #[test]
    fn the_page_connects_to_the_path_of_its_server() {
        assert!(PAGE.contains(PATH), "the page names its path");
        let html = Page::new("/chat\"<b>/").html.unwrap();
        let html = std::str::from_utf8(&html).unwrap();
        assert!(html.contains("data-path=\"/chat&quot;&lt;b>/\"") && !html.contains(PATH));
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
