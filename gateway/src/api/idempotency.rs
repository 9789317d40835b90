//! The idempotency key of an event: a field of its own, or for a single event the header of the request.
//!
//! | where | form |
//! |---|---|
//! | `idempotency_key` of an event | text |
//! | `Idempotency-Key` of the request | the key, with or without quotes; refused with a list of events |
//!
//! A client of HTTP that repeats requests by itself sets the header; a list needs fields, because its events would be
//! taken for repeats of the first. Both may name the same key.

use http::HeaderMap;
use manager_api::IdempotencyKey;

use super::fields::{Fields, invalid};
use super::problem::Problem;

/// The field of an event.
const FIELD: &str = "idempotency_key";
/// The header, as in the draft of the IETF's working group "httpapi".
const HEADER: &str = "Idempotency-Key";

/// Reads the key of an event.
///
/// # Errors
///
/// The problem with the field: not text, or not a key.
pub(super) fn of_field(fields: &Fields<'_>) -> Result<Option<IdempotencyKey>, Problem> {
    let key: Option<String> = fields.optional(FIELD, "text")?;
    key.map(|key| checked(FIELD, &key)).transpose()
}

/// Reads the header: with quotes, as the draft writes it, or without, as most programs do.
pub(super) fn of_header(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid(HEADER, "the header stands there twice"));
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| invalid(HEADER, "the key is not UTF-8"))?;
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    checked(HEADER, quoted.unwrap_or(text)).map(Some)
}

/// Chooses the key of a single event, which may be named twice.
///
/// # Errors
///
/// The problem with the field, if the header has another key.
pub(super) fn either(
    header: Option<IdempotencyKey>,
    field: Option<IdempotencyKey>,
) -> Result<Option<IdempotencyKey>, Problem> {
    match (&header, &field) {
        (Some(header), Some(field)) if header != field => {
            let detail = format!("another key than in the header {HEADER}");
            Err(invalid(FIELD, &detail))
        }
        _ => Ok(field.or(header)),
    }
}

/// Refuses a header for a list, whose events would be taken for repeats of the first.
pub(super) fn for_a_list() -> Problem {
    let detail = format!("the header is for a single event; in a list each event has its own {FIELD}");
    invalid(HEADER, &detail)
}

/// Validates a key.
fn checked(place: &str, key: &str) -> Result<IdempotencyKey, Problem> {
    IdempotencyKey::new(key).map_err(|error| invalid(place, &error.to_string()))
}

#[cfg(test)]
mod tests;
