//! Successful and empty responses, with their headers.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use crate::http::body::ResponseBody;
use crate::http::coding::Coding;
use crate::http::unsent::{InFlight, PacketBody};

/// No cache may store packets of a session.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The longest time after which a client that was turned away may try again, in seconds.
const RETRY_WITHIN: u16 = 5;

/// Returns the response to a POST whose packets were accepted.
pub(crate) fn ok() -> Response<ResponseBody> {
    response(200, Some("text/html"), "ok")
}

/// Returns the response to a GET that holds these packets.
pub(crate) fn payload(payload: impl Into<Bytes>) -> Response<ResponseBody> {
    response(200, Some("text/plain; charset=UTF-8"), payload)
}

/// Returns the response to a GET that holds packets of a session, compressed if a coding is named;
/// they count for the session until they were written. So many bytes of the segments are the
/// response's own.
pub(crate) fn packets(
    in_flight: InFlight,
    segments: Vec<Bytes>,
    copied: usize,
    coding: Option<Coding>,
) -> Response<ResponseBody> {
    let mut response = self::payload(Bytes::new());
    if let Some(coding) = coding {
        response.headers_mut().insert(header::CONTENT_ENCODING, coding.name());
    }
    response.map(|_| ResponseBody::packets(PacketBody::new(in_flight, segments, copied)))
}

/// Returns a response that is a status and nothing more.
pub(crate) fn empty(status: u16) -> Response<ResponseBody> {
    let mut response = response(status, None, Bytes::new());
    response.headers_mut().clear();
    response
}

/// Returns the response to a POST that the server has no memory for now; the client may send it
/// again.
pub(crate) fn unavailable() -> Response<ResponseBody> {
    let mut response = empty(503);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Returns the response to a handshake that cannot be accepted now. Clients that are turned away
/// together do not come back together.
pub(crate) fn try_later() -> Response<ResponseBody> {
    let mut response = empty(503);
    let seconds = fastrand::u16(1..=RETRY_WITHIN);
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

/// Returns the response 101 to an upgrade, with the extension that was agreed on.
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

/// Returns a response that no cache stores.
pub(crate) fn response(status: u16, kind: Option<&'static str>, body: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::new(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("statuses here are valid");
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}
