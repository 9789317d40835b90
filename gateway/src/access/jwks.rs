//! JWK sets (RFC 7517): which of their keys can be used.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use manager_api::log::quietly;
use serde_json::Value;

use super::fault::KeyError;
use super::key::{Key, Keys, algorithms_of};

/// The member that only private keys have (RFC 7518 §6). A secret, `oct`, has none.
const PRIVATE_MEMBER: &str = "d";

/// Reads the keys of a set, or a single one, that can be used for signatures.
pub(super) fn keys(text: &str) -> Result<Vec<Key>, KeyError> {
    let json: Value = serde_json::from_str(text).map_err(|_| KeyError::Jwks("it is not JSON"))?;
    let entries = match (&json["keys"], &json["kty"]) {
        (Value::Array(entries), _) => entries.as_slice(),
        (_, Value::String(_)) => std::slice::from_ref(&json),
        _ => return Err(KeyError::Jwks("it has no list `keys`")),
    };
    let mut keys = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match usable(entry)? {
            Some(key) => keys.push(key),
            None => quietly(
                || tracing::warn!(target: "gateway", index, "a key of the JWK set is left out: it is not for signatures, or of another kind"),
            ),
        }
    }
    match keys.len() {
        1..=Keys::MAX => Ok(keys),
        count => Err(KeyError::Count { count, max: Keys::MAX }),
    }
}

/// Returns the key of an entry; `None` if it is for something else.
fn usable(entry: &Value) -> Result<Option<Key>, KeyError> {
    if entry.get(PRIVATE_MEMBER).is_some() {
        return Err(KeyError::Private);
    }
    let Ok(jwk) = serde_json::from_value::<Jwk>(entry.clone()) else {
        return Ok(None);
    };
    let common = &jwk.common;
    let is_for_signatures = common
        .public_key_use
        .as_ref()
        .is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let may_verify = common
        .key_operations
        .as_ref()
        .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let is_known_curve = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) => matches!(key.curve, EllipticCurve::P256 | EllipticCurve::P384),
        AlgorithmParameters::OctetKeyPair(key) => key.curve == EllipticCurve::Ed25519,
        _ => true,
    };
    if !(is_for_signatures && may_verify && is_known_curve) {
        return Ok(None);
    }
    let Some((decoding, algorithms)) = DecodingKey::from_jwk(&jwk)
        .ok()
        .and_then(|key| algorithms_of(&key).ok().map(|algorithms| (key, algorithms)))
    else {
        return Ok(None);
    };
    let key = Key::new(decoding, algorithms);
    let key = match common.key_algorithm.map(Algorithm::try_from) {
        None => key,
        // An algorithm of another kind, or one of encryption.
        Some(algorithm) => match algorithm.ok().and_then(|algorithm| key.only(algorithm).ok()) {
            Some(key) => key,
            None => return Ok(None),
        },
    };
    Ok(Some(match &common.key_id {
        Some(id) => key.with_id(id),
        None => key,
    }))
}
