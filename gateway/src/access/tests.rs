//! What the tests of tokens, keys and clients share.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::{AccessConfig, Key, Keys, SigningKey, TokenFault, Verified, Verifier};

pub(crate) const SECRET: &str = "a secret of the tests, longer than 32 bytes";

/// Reads a key of `testdata`.
pub(super) fn pem(name: &str) -> String {
    let path = format!("{}/testdata/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the seconds since 1970 of a moment that lies so many seconds ahead.
pub(crate) fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(now.as_secs()).unwrap() + seconds
}

pub(super) fn claims(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(claims) => claims,
        other => panic!("not an object: {other}"),
    }
}

pub(crate) fn signed(key: &SigningKey, json: Value) -> String {
    key.sign(&claims(json)).unwrap()
}

pub(super) fn secret_keys() -> Keys {
    Key::secret(SECRET).unwrap().into()
}

pub(super) fn verify_with(keys: &Keys, config: AccessConfig, token: &str) -> Result<Verified, TokenFault> {
    Verifier::new(keys, config).unwrap().verify(token)
}
