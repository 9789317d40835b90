//! The check for a `Host`, which HTTP/1.1 demands of every request (RFC 9112 §3.2) and hyper leaves to its user.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use engine_io::ResponseBody;
use futures_util::future::Either;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use tower_service::Service;

use super::layer::Body;

/// Answers requests of HTTP/1.1 without a `Host` with 400, as Node does, and all others by another service.
#[derive(Clone, Debug)]
pub(super) struct HostRequired<S>(pub(super) S);

impl<S, B, R> Service<Request<B>> for HostRequired<S>
where
    S: Service<Request<B>, Response = Response<Body<R>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<Refused<R, S::Error>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match has_host(&request) {
            true => Either::Right(self.0.call(request)),
            false => Either::Left(Refused(PhantomData)),
        }
    }
}

/// The answer to a request without a `Host`; that of another service might have a body `R`, or fail with `E`.
pub(super) struct Refused<R, E>(PhantomData<fn() -> Result<R, E>>);

impl<R, E> Future for Refused<R, E> {
    type Output = Result<Response<Body<R>>, E>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = Response::new(Body::Left(ResponseBody::default()));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        Poll::Ready(Ok(response))
    }
}

fn has_host<B>(request: &Request<B>) -> bool {
    request.version() != Version::HTTP_11
        || request.headers().contains_key(header::HOST)
        || request.uri().authority().is_some()
}
