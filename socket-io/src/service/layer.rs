//! The server as a tower service and layer.

use std::task::{Context, Poll};

use bytes::Buf;
use engine_io::{BoxError, ResponseBody};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Either;
use tower_layer::Layer;
use tower_service::Service;

use super::not_found::NotFound;
use crate::server::SocketIo;

impl SocketIo {
    /// Returns a service that answers Socket.IO requests, and everything else with 404.
    pub fn service(&self) -> SocketIoService<NotFound> {
        self.layer().layer(NotFound)
    }

    /// Returns a layer that answers Socket.IO requests and passes everything else on.
    ///
    /// ```
    /// # use socket_io::SocketIo;
    /// # let io = SocketIo::new();
    /// let app: axum::Router = axum::Router::new().layer(io.layer());
    /// ```
    pub fn layer(&self) -> SocketIoLayer {
        SocketIoLayer { io: self.clone() }
    }
}

/// Wraps a service so that Socket.IO requests are answered by the server.
#[derive(Clone, Debug)]
pub struct SocketIoLayer {
    io: SocketIo,
}

impl<S> Layer<S> for SocketIoLayer {
    type Service = SocketIoService<S>;

    fn layer(&self, inner: S) -> SocketIoService<S> {
        let io = self.io.clone();
        SocketIoService { io, inner }
    }
}

/// Answers Socket.IO requests itself and everything else by another service.
#[derive(Clone, Debug)]
pub struct SocketIoService<S> {
    io: SocketIo,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for SocketIoService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: 'static,
    S::Error: 'static,
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
        if self.io.engine().matches(request.uri().path()) {
            let engine = self.io.engine().clone();
            async move { Ok(engine.handle(request).await.map(Either::Left)) }.boxed()
        } else {
            let response = self.inner.call(request);
            async move { Ok(response.await?.map(Either::Right)) }.boxed()
        }
    }
}

/// The body of a response: of the engine (left), or of the service behind it (right).
pub type Body<R> = Either<ResponseBody, R>;
