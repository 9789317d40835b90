//! Extensions without which an event is delivered all the same: malformed ones are ignored and counted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;

use super::Extensions;
use super::text::Text;
use crate::IdempotencyKey;
use crate::message::Emit;
use crate::trace::{self, TraceParent};

/// The most bytes of a key as JSON: quotes, and each byte escaped.
const MAX_KEY_JSON_LEN: usize = 2 + 6 * IdempotencyKey::MAX_LEN;

/// Reads the key, the time of the publish and the trace of an event.
pub(super) fn read(extensions: &Extensions<'_>, emit: &mut Emit) {
    let mut num_malformed = 0;
    emit.key = well_formed(extensions.key, key, &mut num_malformed);
    emit.sent = well_formed(extensions.sent_us, sent, &mut num_malformed);
    emit.trace = well_formed(extensions.traceparent, traceparent, &mut num_malformed).map(Box::new);
    emit.num_malformed = num_malformed;
}

/// Reads a field that may be absent; counts one that cannot be read.
fn well_formed<T>(field: Option<&RawValue>, read: fn(&str) -> Option<T>, num_malformed: &mut u8) -> Option<T> {
    let value = read(field?.get());
    *num_malformed += u8::from(value.is_none());
    value
}

fn key(json: &str) -> Option<IdempotencyKey> {
    if json.len() > MAX_KEY_JSON_LEN {
        return None;
    }
    let text: Text<'_> = serde_json::from_str(json).ok()?;
    IdempotencyKey::new(&text).ok()
}

fn sent(json: &str) -> Option<SystemTime> {
    let since_epoch = Duration::from_micros(serde_json::from_str(json).ok()?);
    UNIX_EPOCH.checked_add(since_epoch)
}

fn traceparent(json: &str) -> Option<TraceParent> {
    // With the quotes; longer ones are not looked at.
    if json.len() > trace::MAX_LEN + 2 {
        return None;
    }
    let text: Text<'_> = serde_json::from_str(json).ok()?;
    text.parse().ok()
}
