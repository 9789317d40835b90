//! The opening handshake of RFC 6455 §4.2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use sha1::{Digest, Sha1};

/// The constant of RFC 6455 that the accept key is computed with.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Returns whether a request wants to become a WebSocket.
pub(crate) fn is_upgrade(parts: &Parts) -> bool {
    parts.method == Method::GET
        && has_token(&parts.headers, &header::UPGRADE, "websocket")
        && has_token(&parts.headers, &header::CONNECTION, "upgrade")
}

/// Computes the accept key, or `None` if key or version are not as they must be.
pub(crate) fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    if headers.get(header::SEC_WEBSOCKET_VERSION)? != "13" {
        return None;
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.as_bytes();
    let mut nonce = [0; 18];
    if STANDARD.decode_slice(key, &mut nonce).ok()? != 16 {
        return None;
    }
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::try_from(STANDARD.encode(digest)).ok()
}

/// Returns the first subprotocol that a client offers: a browser closes the connection if it
/// offered some and none was chosen.
pub(crate) fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = offered.split(',').map(str::trim).find(|name| !name.is_empty())?;
    HeaderValue::try_from(first).ok()
}

/// Returns whether a header, which is a list, holds a token.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|each| each.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(version: &str, key: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::SEC_WEBSOCKET_VERSION, version.parse().unwrap());
        headers.insert(header::SEC_WEBSOCKET_KEY, key.parse().unwrap());
        headers
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let key = accept_key(&headers("13", "dGhlIHNhbXBsZSBub25jZQ==")).unwrap();
        assert_eq!(key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_first_subprotocol_is_chosen() {
        let mut headers = HeaderMap::new();
        assert_eq!(first_protocol(&headers), None);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, " chat , superchat".parse().unwrap());
        assert_eq!(first_protocol(&headers).unwrap(), "chat");
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, "".parse().unwrap());
        assert_eq!(first_protocol(&headers), None);
    }

    #[test]
    fn wrong_versions_and_keys_are_refused() {
        assert!(accept_key(&headers("8", "dGhlIHNhbXBsZSBub25jZQ==")).is_none());
        assert!(accept_key(&headers("13", "c2hvcnQ=")).is_none());
        assert!(accept_key(&headers("13", "not base64 at all, not in the least")).is_none());
        assert!(accept_key(&HeaderMap::new()).is_none());
    }
}
