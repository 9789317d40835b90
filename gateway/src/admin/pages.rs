//! Texts by the paths of requests, for programs that are not servers.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use tower_service::Service;

use crate::respond::{self, Body, Responding, TEXT};

/// A text for a path, and whether all is well.
type Page = Arc<dyn Fn(&str) -> Option<(bool, String)> + Send + Sync>;

/// Responds to GET and HEAD with texts of a function; with 404 where it has none. [`serve`](super::serve) has a listener for
/// it.
///
/// ```
/// use gateway::admin::Pages;
///
/// let pages = Pages::new(|path| match path {
///     "/health/live" => Some((true, "live\n".to_owned())),
///     "/health/ready" => Some((false, "not connected yet\n".to_owned())), // 503
///     _ => None,
/// });
/// # drop(pages);
/// ```
#[derive(Clone)]
pub struct Pages(Page);

impl Pages {
    /// Creates the service. The function returns a text, and whether all is well: 200, or 503.
    pub fn new(page: impl Fn(&str) -> Option<(bool, String)> + Send + Sync + 'static) -> Self {
        Self(Arc::new(page))
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for Pages {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Responding {
        let page = (self.0)(request.uri().path());
        respond::to_read(request.method(), || match page {
            Some((true, text)) => (StatusCode::OK, TEXT, text),
            Some((false, text)) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, text),
            None => (StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
        })
    }
}
