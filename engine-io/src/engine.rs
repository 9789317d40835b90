//! HTTP requests in.

use std::sync::Arc;

use bytes::Buf;
use http::{Request, Response};

use crate::{BoxError, Config, Handler, Metrics, ResponseBody};

/// An Engine.IO server; clones refer to the same one.
#[derive(Clone)]
pub struct Engine(Arc<()>);

impl Engine {
    /// Creates an engine; nothing runs before its first session opens.
    pub fn new(handler: impl Handler, config: Config) -> Self {
        let _ = (handler, config);
        unimplemented!()
    }

    /// Tells whether this path of a request is the engine's own.
    pub fn matches(&self, path: &str) -> bool {
        let _ = path;
        unimplemented!()
    }

    /// Answers one HTTP request: a poll, the upgrade to a WebSocket, or a refusal. Must run within a tokio runtime.
    ///
    /// The path is not looked at; see [`matches`](Self::matches).
    ///
    /// # Cancel safety
    /// Dropping the future of a waiting poll, or of a POST that is still being read, means that the client has gone
    /// away; it closes the session.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<ResponseBody>
    where
        B: http_body::Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        let _ = request;
        unimplemented!()
    }

    /// Refuses new sessions, closes all others with
    /// [`CloseReason::ServerShutdown`](crate::CloseReason::ServerShutdown), and returns when all are done, or after ten
    /// seconds.
    ///
    /// # Cancel safety
    /// Sessions keep closing when the future is dropped.
    pub async fn shutdown(&self) {
        unimplemented!()
    }

    /// Returns a snapshot of the counters.
    pub fn metrics(&self) -> Metrics {
        unimplemented!()
    }

    /// Returns the settings.
    pub fn config(&self) -> &Config {
        unimplemented!()
    }
}
