//! The files as a tower service.

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Either, Empty};
use manager_api::log::{Escaped, LimitedLog, quietly};
use tower_http::services::ServeFile;
use tower_http::services::fs::ServeFileSystemResponseBody;
use tower_service::Service;

use super::{Found, Rules};

/// Serves files itself, and passes everything else on to another service.
#[derive(Clone, Debug)]
pub struct StaticFilesService<S> {
    rules: Arc<Rules>,
    inner: S,
}

impl<S> StaticFilesService<S> {
    pub(super) fn new(rules: Arc<Rules>, inner: S) -> Self {
        Self { rules, inner }
    }
}

impl<S, B, R> Service<Request<B>> for StaticFilesService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: 'static,
    R: 'static,
    B: Send + 'static,
{
    type Response = Response<StaticBody<R>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let rules = self.rules.clone();
        // The one that was polled for readiness is the one to call.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let head = matches!(*request.method(), Method::GET | Method::HEAD).then(|| head_of(&request));
        async move {
            if let Some(head) = head
                && let Some(response) = rules.answer(head).await
            {
                return Ok(response.map(Either::Left));
            }
            Ok(inner.call(request).await?.map(Either::Right))
        }
        .boxed()
    }
}

impl Rules {
    /// Answers a request with its file; `None` if it is none of ours.
    async fn answer(&self, request: Request<Empty<Bytes>>) -> Option<Response<ServeFileSystemResponseBody>> {
        let Found { file, content_type } = self.find(request.uri().path()).await?;
        let mut response = read(file, request).await?;
        let headers = response.headers_mut();
        if let Some(content_type) = content_type
            && headers.contains_key(CONTENT_TYPE)
        {
            headers.insert(CONTENT_TYPE, content_type);
        }
        // What we say it is, it is: no browser makes a script of an upload.
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(cache_control) = &self.cache_control {
            headers.insert(CACHE_CONTROL, cache_control.clone());
        }
        Some(response)
    }
}

async fn read(file: PathBuf, request: Request<Empty<Bytes>>) -> Option<Response<ServeFileSystemResponseBody>> {
    static UNREADABLE: LimitedLog = LimitedLog::new();
    match ServeFile::new(&file).try_call(request).await {
        // It went in the meantime.
        Ok(response) if response.status() == StatusCode::NOT_FOUND => None,
        Ok(response) => Some(response),
        Err(error) => {
            if let Some(suppressed) = UNREADABLE.pass() {
                quietly(
                    || tracing::warn!(target: "socket_io", suppressed, file = ?Escaped(file.display()), error = ?Escaped(error), "a static file cannot be read"),
                );
            }
            None
        }
    }
}

/// What files are looked up by. The request itself is kept for the service behind.
fn head_of<B>(request: &Request<B>) -> Request<Empty<Bytes>> {
    let mut head = Request::new(Empty::new());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.headers_mut() = request.headers().clone();
    head
}

/// The body of a response: a file or a part of it (left), or of the service behind (right).
pub type StaticBody<R> = Either<ServeFileSystemResponseBody, R>;
