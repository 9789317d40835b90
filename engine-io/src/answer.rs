//! The answers to HTTP requests.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use crate::coding::Coding;
use crate::unsent::{InFlight, PacketBody};
use crate::{Forbidden, ResponseBody};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    UnknownTransport,
    UnknownSid,
    BadHandshakeMethod,
    BadRequest,
    /// A kind of bad request.
    ForeignOrigin,
    /// By [`Config::allow_request`](crate::Config::allow_request).
    Forbidden(Forbidden),
    UnsupportedVersion,
}

impl Refusal {
    /// Returns what it is called in logs, which never quote what an application says.
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

    fn message(self) -> Cow<'static, str> {
        match self {
            Self::Forbidden(forbidden) => forbidden.message(),
            other => other.name().into(),
        }
    }

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

    /// Answers a plain request.
    pub(crate) fn answer(self) -> Response<ResponseBody> {
        let status = if matches!(self, Self::Forbidden(_)) { 403 } else { 400 };
        let mut response = response(status, Some("application/json"), body(self.body()));
        response.headers_mut().remove(header::CACHE_CONTROL);
        response
    }

    /// Answers a request that wanted to become a WebSocket.
    pub(crate) fn answer_upgrade(self) -> Response<ResponseBody> {
        let mut response = response(400, Some("text/html"), body(self.message()));
        response.headers_mut().remove(header::CACHE_CONTROL);
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

fn body(text: Cow<'static, str>) -> Bytes {
    match text {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => text.into(),
    }
}

/// Answers a POST whose packets were in_flight.
pub(crate) fn ok() -> Response<ResponseBody> {
    response(200, Some("text/html"), "ok")
}

/// Answers a GET with packets.
pub(crate) fn payload(payload: impl Into<Bytes>) -> Response<ResponseBody> {
    response(200, Some("text/plain; charset=UTF-8"), payload)
}

/// Answers a GET with packets of a session, compressed if a coding is named; they count for the session until they were written.
pub(crate) fn packets(in_flight: InFlight, payload: Vec<u8>, coding: Option<Coding>) -> Response<ResponseBody> {
    let mut response = self::payload(Bytes::new());
    if let Some(coding) = coding {
        response.headers_mut().insert(header::CONTENT_ENCODING, coding.name());
    }
    response.map(|_| ResponseBody::packets(PacketBody::new(in_flight, payload.into())))
}

/// Answers with nothing but a status.
pub(crate) fn empty(status: u16) -> Response<ResponseBody> {
    let mut response = response(status, None, Bytes::new());
    response.headers_mut().clear();
    response
}

/// Answers an upgrade with 101, and with the extension that was agreed on.
pub(crate) fn switching_protocols(accept: HeaderValue, extension: Option<HeaderValue>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(extension) = extension {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, extension);
    }
    response
}

fn response(status: u16, kind: Option<&'static str>, body: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::new(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("statuses here are valid");
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}
