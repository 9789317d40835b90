//! Refusals: why a request gets an error, and the response that says so.

use std::borrow::Cow;

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderValue};

use crate::http::allow::Forbidden;
use crate::http::body::ResponseBody;
use crate::http::response::response;

/// The reason for the refusal of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The transport is not known, or not offered.
    UnknownTransport,
    /// There is no session with this id.
    UnknownSid,
    /// A session is opened by GET alone.
    BadHandshakeMethod,
    /// The request does not fit its session, or its transport.
    BadRequest,
    /// A kind of bad request.
    ForeignOrigin,
    /// By [`Config::allow_request`](crate::Config::allow_request).
    Forbidden(Forbidden),
    /// The client speaks another version of the protocol.
    UnsupportedVersion,
}

impl Refusal {
    /// Returns its name in logs, which never quote the text of an application.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSid => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::ForeignOrigin => "Not an accepted origin",
            Self::Forbidden(_) => "Forbidden",
            Self::UnsupportedVersion => "Unsupported protocol version",
        }
    }

    /// Returns the message for the client.
    fn message(self) -> Cow<'static, str> {
        match self {
            Self::Forbidden(forbidden) => forbidden.message(),
            other => other.name().into(),
        }
    }

    /// Returns the body of the response to a plain request.
    fn body(self) -> Cow<'static, str> {
        let body = match self {
            Self::Forbidden(forbidden) => {
                let message = serde_json::Value::from(forbidden.message());
                return format!(r#"{{"code":4,"message":{message}}}"#).into();
            }
            Self::UnknownTransport => r#"{"code":0,"message":"Transport unknown"}"#,
            Self::UnknownSid => r#"{"code":1,"message":"Session ID unknown"}"#,
            Self::BadHandshakeMethod => r#"{"code":2,"message":"Bad handshake method"}"#,
            Self::BadRequest => r#"{"code":3,"message":"Bad request"}"#,
            Self::ForeignOrigin => r#"{"code":3,"message":"Not an accepted origin"}"#,
            Self::UnsupportedVersion => r#"{"code":5,"message":"Unsupported protocol version"}"#,
        };
        body.into()
    }

    /// Returns the response to a plain request.
    pub(crate) fn response(self) -> Response<ResponseBody> {
        let status = if matches!(self, Self::Forbidden(_)) { 403 } else { 400 };
        let mut response = response(status, Some("application/json"), body(self.body()));
        response.headers_mut().remove(header::CACHE_CONTROL);
        response
    }

    /// Returns the response to a request that wanted to become a WebSocket.
    pub(crate) fn upgrade_response(self) -> Response<ResponseBody> {
        let mut response = response(400, Some("text/html"), body(self.message()));
        response.headers_mut().remove(header::CACHE_CONTROL);
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// Converts a text without copying it.
fn body(text: Cow<'static, str>) -> Bytes {
    match text {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => text.into(),
    }
}
