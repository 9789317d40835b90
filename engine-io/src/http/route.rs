//! The router: finds the session and the purpose of a request, or the reason to refuse it.

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;
use http::request::Parts;

use crate::config::{Config, Transport, Transports};
use crate::connection::core::Core;
use crate::connection::session::EngineSession;
use crate::connection::sid::Sid;
use crate::http::refusal::Refusal;

/// The purpose of a valid request.
pub(crate) enum Route {
    /// A new session on this transport.
    Open(Transport),
    /// Packets of a session.
    Get(Arc<EngineSession>),
    /// Packets for a session.
    Post(Arc<EngineSession>),
    /// A method that sessions do not support.
    Unknown,
    /// A WebSocket that is to replace long-polling.
    Upgrade(Arc<EngineSession>),
    /// A WebSocket that has no use here, and is closed after its handshake.
    Useless,
}

/// The parameters of a query that matter; the last of equals counts.
#[derive(Default)]
struct Query<'a> {
    /// The version of the protocol, `EIO`.
    version: Option<Cow<'a, str>>,
    /// The transport.
    transport: Option<Cow<'a, str>>,
    /// The id of the session.
    sid: Option<Cow<'a, str>>,
    /// Whether bytes have to be base64, `b64`.
    base64: Option<Cow<'a, str>>,
}

/// Routes a request; the checks have the order that clients see in the reference server.
///
/// `origin` is the result of the check of its origin.
pub(crate) fn route(core: &Core, parts: &Parts, upgrade: bool, origin: Result<(), Refusal>) -> Result<Route, Refusal> {
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let transport = query
        .transport(core.config.transports)
        .ok_or(Refusal::UnknownTransport)?;
    origin?;
    let version = query.version.as_deref() == Some("4");
    let Some(sid) = query.sid.filter(|sid| !sid.is_empty()) else {
        return open(&core.config, parts, transport, version, upgrade);
    };
    let session = Sid::parse(&sid)
        .and_then(|sid| core.sessions.get(&sid))
        .ok_or(Refusal::UnknownSid)?;
    session.expire();
    if session.state().closed().is_some() {
        return Err(Refusal::UnknownSid);
    }
    let carried_by = session.state().transport;
    if (!upgrade && carried_by != transport) || !version {
        return Err(Refusal::BadRequest);
    }
    if upgrade {
        return match (transport, carried_by) {
            (Transport::WebSocket, Transport::Polling) if core.config.allow_upgrades => Ok(Route::Upgrade(session)),
            (Transport::WebSocket, Transport::Polling) => Err(Refusal::BadRequest),
            _ => Ok(Route::Useless),
        };
    }
    if carried_by == Transport::WebSocket {
        return Err(Refusal::BadRequest);
    }
    Ok(match parts.method {
        Method::GET => Route::Get(session),
        Method::POST => Route::Post(session),
        _ => Route::Unknown,
    })
}

/// Checks a request without a session.
fn open(config: &Config, parts: &Parts, transport: Transport, version: bool, upgrade: bool) -> Result<Route, Refusal> {
    if parts.method != Method::GET {
        return Err(Refusal::BadHandshakeMethod);
    }
    if transport == Transport::WebSocket && !upgrade {
        return Err(Refusal::BadRequest);
    }
    config.allow_request.check(parts).map_err(Refusal::Forbidden)?;
    if !version {
        return Err(Refusal::UnsupportedVersion);
    }
    if transport == Transport::Polling && upgrade {
        return Ok(Route::Useless);
    }
    Ok(Route::Open(transport))
}

/// Returns whether the client of a WebSocket wants bytes as base64: the parameter has any value.
pub(crate) fn wants_base64(parts: &Parts) -> bool {
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    query.base64.is_some_and(|value| !value.is_empty())
}

impl<'a> Query<'a> {
    /// Reads a query; unknown parameters are ignored.
    fn parse(query: &'a str) -> Self {
        let mut found = Self::default();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match &*decode(key) {
                "EIO" => &mut found.version,
                "transport" => &mut found.transport,
                "sid" => &mut found.sid,
                "b64" => &mut found.base64,
                _ => continue,
            };
            *slot = Some(decode(value));
        }
        found
    }

    /// Returns the transport, if the engine offers it.
    fn transport(&self, offered: Transports) -> Option<Transport> {
        let transport = match self.transport.as_deref()? {
            "polling" => Transport::Polling,
            "websocket" => Transport::WebSocket,
            _ => return None,
        };
        offered.contains(transport).then_some(transport)
    }
}

/// Decodes percent-encoding; what is malformed stays as it is.
fn decode(value: &str) -> Cow<'_, str> {
    if !value.contains('%') {
        return Cow::Borrowed(value);
    }
    let bytes = value.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_keys_counts() {
        let query = Query::parse("EIO=4&transport=polling&EIO=3&sid=a&sid=&x&t=1");
        assert_eq!(query.version.as_deref(), Some("3"));
        assert_eq!(query.sid.as_deref(), Some(""));
        assert_eq!(query.transport(Transports::Both), Some(Transport::Polling));
        assert_eq!(query.transport(Transports::WebSocketOnly), None);
    }

    #[test]
    fn names_of_parameters_are_decoded_too() {
        let query = Query::parse("%45IO=4&transp%6frt=websocket&%73id=a");
        assert_eq!((query.version.as_deref(), query.sid.as_deref()), (Some("4"), Some("a")));
        assert_eq!(query.transport(Transports::Both), Some(Transport::WebSocket));
    }

    #[test]
    fn values_are_decoded() {
        assert_eq!(decode("%70olling"), "polling");
        assert_eq!(decode("%"), "%");
        assert_eq!(decode("%zz%4"), "%zz%4");
    }
}
