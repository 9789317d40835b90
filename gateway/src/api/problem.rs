//! Errors of the API: problem details (RFC 9457).
//!
//! | member | what |
//! |---|---|
//! | `type`, `title`, `status`, `detail` | those of the RFC |
//! | `code` | what a program acts on |
//! | `field`, `index` | which field is wrong, and in which event of a list |
//! | `accepted` | how many events of the list were accepted before one failed |

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::Full;
use manager_api::{Error, ErrorKind};
use serde::Serialize;

macro_rules! codes {
    ($($code:ident),* $(,)?) => {
        /// What a program acts on. Written as `snake_case`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub(super) enum Code {
            $($code),*
        }

        #[cfg(test)]
        impl Code {
            /// All codes, for the test of the description.
            pub(super) const ALL: &[Self] = &[$(Self::$code),*];
        }
    };
}

codes!(
    NotFound,
    MethodNotAllowed,
    Unauthorized,
    Forbidden,
    Busy,
    RateLimited,
    BodyTooLarge,
    BodyTimeout,
    BodyBroken,
    NotJson,
    NotAnObject,
    UnknownField,
    MissingField,
    InvalidField,
    ReservedEvent,
    TooMany,
    Invalid,
    TooLarge,
    Timeout,
    Broker,
);

/// An error of a request. Boxed, because it stands in many results.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Problem(Box<Details>);

/// The members of the answer.
#[derive(Clone, Debug, Serialize)]
struct Details {
    /// Always `about:blank`: what a program acts on is `code`.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "number")]
    status: StatusCode,
    code: Code,
    detail: String,
    /// The field of the body, or the parameter of the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// Which event of a list, from 0 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    /// How many events of the request were accepted before it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<usize>,
    #[serde(skip)]
    retry_after: Option<u64>,
    #[serde(skip)]
    allow: Option<&'static str>,
}

/// Writes a status as its number.
fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// Makes a problem with what all problems have.
    pub(super) fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status,
            code,
            detail: detail.into(),
            field: None,
            index: None,
            accepted: None,
            retry_after: None,
            allow: None,
        }))
    }

    /// Refuses a field.
    pub(super) fn field(code: Code, field: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::BAD_REQUEST, code, detail);
        problem.0.field = Some(field.into());
        problem
    }

    /// Refuses a request without a good key; whether a key was given is not told.
    pub(super) fn unauthorized() -> Self {
        let detail = "a good key is needed: Authorization: Bearer KEY";
        Self::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, detail)
    }

    /// Explains an error of publishing or of a request to servers.
    pub(super) fn of(error: &Error) -> Self {
        let (status, code) = match error.kind() {
            ErrorKind::Config | ErrorKind::Malformed => (StatusCode::BAD_REQUEST, Code::Invalid),
            ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge),
            ErrorKind::Timeout => (StatusCode::GATEWAY_TIMEOUT, Code::Timeout),
            ErrorKind::Busy | ErrorKind::Closed => (StatusCode::SERVICE_UNAVAILABLE, Code::Busy),
            _ => (StatusCode::BAD_GATEWAY, Code::Broker),
        };
        let problem = Self::new(status, code, error.to_string());
        match error.is_retryable() {
            true => problem.retry_after(1),
            false => problem,
        }
    }

    /// Answers with another status.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self.0.title = status.canonical_reason().unwrap_or_default();
        self
    }

    /// Says in how many seconds the same request may be accepted.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Says which method the path is for.
    pub(super) fn allow(mut self, method: &'static str) -> Self {
        self.0.allow = Some(method);
        self
    }

    /// Says which event of a list it is about.
    pub(super) fn at(mut self, index: Option<usize>) -> Self {
        self.0.index = index;
        self
    }

    /// Says how many events were accepted before.
    pub(super) fn after(mut self, accepted: usize) -> Self {
        self.0.accepted = Some(accepted);
        self
    }

    /// Returns how many events were accepted before.
    pub(super) fn accepted(&self) -> usize {
        self.0.accepted.unwrap_or_default()
    }

    /// Returns the status of the response.
    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Makes the response.
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = json(self.0.status, &self);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.0.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(method) = self.0.allow {
            headers.insert(ALLOW, HeaderValue::from_static(method));
        }
        if matches!(
            self.0.status,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
        ) {
            // The rest of the body is not read.
            headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Answers with a value.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(value).expect("answers have text keys only");
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // What one key may see is not for a cache that others share.
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(http::header::VARY, HeaderValue::from_name(AUTHORIZATION));
    response
}

#[cfg(test)]
mod tests;
