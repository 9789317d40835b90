//! The API as a tower service and layer.
//!
//! The service stands alone, for a listener of its own; the layer stands before other services, as
//! that of [`SocketIo`](socket_io::SocketIo::layer) does.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use manager_api::log::{LimitedLog, quietly};
use tower_layer::Layer;
use tower_service::Service;

use super::body::{self, BoxError};
use super::inspect::{self, Query, ROOMS_PARAMETERS, WHO_PARAMETERS};
use super::key::Operation;
use super::problem::{Code, Problem, json};
use super::route::{self, Route};
use super::{Api, OPENAPI, disconnect, emit};

/// The body of a response: of the API (left), or of the service behind it (right).
pub type Body<R> = Either<Full<Bytes>, R>;

impl Api {
    /// Returns a service that answers requests of the API, and everything else with 404.
    pub fn service(&self) -> ApiService {
        ApiService { api: self.clone() }
    }

    /// Returns a layer that answers requests of the API, and passes everything else on.
    pub fn layer(&self) -> ApiLayer {
        ApiLayer {
            api: Some(self.clone()),
        }
    }

    /// Tells whether a path is one of the API's, such as `/api/emit`; also one below its path that
    /// it does not have.
    pub fn matches(&self, path: &str) -> bool {
        self.below(path).is_some()
    }

    /// Returns what is behind the path of the API; `None` if the path is another one.
    fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        let below = path.strip_prefix(self.inner.config.path.as_str())?;
        (below.is_empty() || below.starts_with('/')).then_some(below)
    }

    /// Answers a request, and counts it.
    async fn handle<B>(self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: http_body::Body,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        let counts = &self.inner.counts;
        count(&counts.requests, 1);
        let (parts, body) = request.into_parts();
        match self.answer(&parts, body).await {
            Ok(response) => response,
            Err(problem) => {
                count(&counts.refused, 1);
                if problem.status() == StatusCode::UNAUTHORIZED {
                    count(&counts.unauthorized, 1);
                }
                problem.into_response()
            }
        }
    }

    /// Answers a request, cheap checks first: the path, the key, what the key is for, how many requests are
    /// at work. Only then the body is read.
    async fn answer<B>(&self, parts: &Parts, body: B) -> Result<Response<Full<Bytes>>, Problem>
    where
        B: http_body::Body,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        let path = self.below(parts.uri.path()).unwrap_or_default();
        let operation = match route::find(&parts.method, path)? {
            Route::Operation(operation) => operation,
            Route::OpenApi => return Ok(description()),
        };
        let keys = self.keys();
        let key = bearer(parts)
            .and_then(|given| keys.find(given))
            .ok_or_else(Problem::unauthorized)?;
        if !key.may(operation) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                Code::Forbidden,
                "this key is for other operations",
            ));
        }
        let Ok(_at_work) = self.inner.at_work.try_acquire() else {
            let detail = "as many requests are at work as are allowed";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, Code::Busy, detail).retry_after(1));
        };
        let (target, config) = (&self.inner.target, &self.inner.config);
        let query = parts.uri.query().unwrap_or_default();
        let answer = match operation {
            Operation::Emit => {
                let events = emit::read(&parts.headers, &body::read(&parts.headers, body, config).await?, config)?;
                let emitted = emit::run(target, key, events, config).await;
                count(
                    &self.inner.counts.events,
                    emitted.as_ref().map_or_else(Problem::accepted, |done| done.accepted),
                );
                json(StatusCode::OK, &emitted?)
            }
            Operation::Disconnect => {
                let request = disconnect::read(&body::read(&parts.headers, body, config).await?, config)?;
                json(StatusCode::OK, &disconnect::run(target, key, request).await?)
            }
            Operation::Rooms => {
                let query = Query::read(query, &ROOMS_PARAMETERS)?;
                json(StatusCode::OK, &inspect::rooms(target, key, &query, config).await?)
            }
            Operation::Who => {
                let query = Query::read(query, &WHO_PARAMETERS)?;
                json(StatusCode::OK, &inspect::who(target, key, &query, config).await?)
            }
        };
        log(operation, key.name());
        Ok(answer)
    }
}

/// Adds to a counter.
fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

/// Returns the key of a request. The name of the scheme may be written in any case (RFC 9110
/// §11.1).
fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}

/// Returns the description of the API.
fn description() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(Bytes::from_static(OPENAPI.as_bytes())));
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Logs that a request was answered, without what it said.
fn log(operation: Operation, key: Option<&str>) {
    static DONE: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = DONE.pass() {
        quietly(
            || tracing::debug!(target: "gateway", ?operation, key, suppressed, "a request of the API was answered"),
        );
    }
}

/// Answers requests of the API, and everything else with 404.
#[derive(Clone, Debug)]
pub struct ApiService {
    api: Api,
}

impl<B> Service<Request<B>> for ApiService
where
    B: http_body::Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.api.clone().handle(request).map(Ok).boxed()
    }
}

/// Wraps a service so that requests of the API are answered by it.
#[derive(Clone, Debug)]
pub struct ApiLayer {
    api: Option<Api>,
}

impl From<Option<Api>> for ApiLayer {
    /// Makes a layer that passes everything on without an API.
    fn from(api: Option<Api>) -> Self {
        Self { api }
    }
}

impl<S> Layer<S> for ApiLayer {
    type Service = WithApi<S>;

    fn layer(&self, inner: S) -> WithApi<S> {
        let api = self.api.clone();
        WithApi { api, inner }
    }
}

/// Answers requests of the API, and everything else by another service.
#[derive(Clone, Debug)]
pub struct WithApi<S> {
    api: Option<Api>,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for WithApi<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    R: 'static,
    B: http_body::Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body<R>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let api = self.api.as_ref().filter(|api| api.matches(request.uri().path()));
        if let Some(api) = api {
            let answer = api.clone().handle(request);
            async move { Ok(answer.await.map(Either::Left)) }.boxed()
        } else {
            let response = self.inner.call(request);
            async move { Ok(response.await?.map(Either::Right)) }.boxed()
        }
    }
}
