//! Traces of events, from the emitter to the delivery: [W3C trace context](https://www.w3.org/TR/trace-context/).
//!
//! An event that was given a [`TraceParent`] carries it to every server of ours, and there are `tracing` spans for it, at the
//! level `INFO`:
//!
//! | span | where | fields |
//! |---|---|---|
//! | `emit` | the process that emits, until the broker has accepted the event; a server's own clients are served within it | `trace_id`, `span_id`, `parent_span_id`, `event`, `namespace` |
//! | `deliver` | each other server, while its clients are served | the same; `parent_span_id` is the span `emit` |
//!
//! An event without one has no span, and costs nothing. Where no subscriber of `tracing` wants the span `emit`, the event
//! carries the context unchanged, so that the trace has no hole. `tracestate` is not carried.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use tracing::Span;

use crate::log::{cut, quietly};
use crate::message::Emit;
use crate::{Error, ErrorKind};

/// The length of a context of version 00, and of what later versions begin with.
const LEN: usize = 55;
/// The longest text that is read: later versions may append fields.
pub(crate) const MAX_LEN: usize = 512;
/// The flags of version 00 that are known: sampled, and random trace id.
const KNOWN_FLAGS: u8 = 0b11;

/// The position of an event in a trace: the header `traceparent` of W3C trace context.
///
/// ```
/// use manager_api::trace::TraceParent;
///
/// # async fn example(emitter: manager_api::Emitter) -> Result<(), Box<dyn std::error::Error>> {
/// // From an HTTP request, from the environment of a job, or the start of a trace.
/// let parent: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
/// emitter.to("lobby").traceparent(parent).emit("job done", &7).await?;
/// emitter.to("lobby").traceparent(TraceParent::random()).emit("job done", &8).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: NonZeroU128,
    span_id: NonZeroU64,
    flags: u8,
}

impl TraceParent {
    /// Starts a trace, which is marked as sampled. The ids are random, not secret.
    pub fn random() -> Self {
        Self {
            trace_id: NonZeroU128::new(fastrand::u128(1..)).unwrap_or(NonZeroU128::MIN),
            span_id: random_span(),
            flags: KNOWN_FLAGS,
        }
    }

    /// Returns another position in the same trace, with a new span id.
    pub fn child(&self) -> Self {
        Self {
            span_id: random_span(),
            ..*self
        }
    }

    /// Returns the id of the trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// Returns the id of the span: 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span_id)
    }

    /// Returns whether the caller recorded its span.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

fn random_span() -> NonZeroU64 {
    NonZeroU64::new(fastrand::u64(1..)).unwrap_or(NonZeroU64::MIN)
}

impl FromStr for TraceParent {
    type Err = Error;

    /// Reads `00-TRACE-SPAN-FLAGS`, or the same fields of a later version; unknown flags are dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the text is anything else: another length, upper case, an id of zeroes, the version `ff`.
    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).ok_or_else(|| {
            let expected =
                "not a traceparent: expected 00-TRACE-SPAN-FLAGS in lower-case hexadecimal digits (32, 16, 2)";
            Error::new(ErrorKind::Config, expected)
        })
    }
}

fn parse(text: &str) -> Option<TraceParent> {
    let head = text
        .get(..LEN)
        .filter(|head| head.is_ascii() && text.len() <= MAX_LEN)?;
    let version = hex(&head[..2])?;
    let is_whole = match version {
        0 => text.len() == LEN,
        0xff => false,
        _ => text.len() == LEN || text[LEN..].starts_with('-'),
    };
    let are_separated = [2, 35, 52].iter().all(|at| head.as_bytes()[*at] == b'-');
    if !is_whole || !are_separated {
        return None;
    }
    Some(TraceParent {
        trace_id: NonZeroU128::new(hex(&head[3..35])?)?,
        span_id: NonZeroU64::new(u64::try_from(hex(&head[36..52])?).ok()?)?,
        flags: hex(&head[53..]).and_then(|flags| u8::try_from(flags).ok())? & KNOWN_FLAGS,
    })
}

/// Reads lower-case digits and nothing else; `from_str_radix` takes signs and upper case, too.
fn hex(digits: &str) -> Option<u128> {
    let are_digits = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    are_digits.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            span_id,
            flags,
        } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns the span of an emit, and makes it the parent of the deliveries; no span if the event has no trace.
pub(crate) fn begin(emit: &mut Emit) -> Span {
    let Some(parent) = emit.trace.as_deref() else {
        return Span::none();
    };
    let own = parent.child();
    let mut span = Span::none();
    quietly(|| {
        span = tracing::info_span!(
            target: "manager_api",
            "emit",
            trace_id = own.trace_id(),
            span_id = own.span_id(),
            parent_span_id = parent.span_id(),
            event = cut(emit.event.as_str()),
            namespace = cut(emit.namespace.as_str()),
        );
    });
    if !span.is_disabled() {
        emit.trace = Some(Box::new(own));
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_read_and_written_as_w3c_has_it() {
        let parent: TraceParent = VALID.parse().unwrap();
        assert_eq!(parent.to_string(), VALID);
        assert_eq!(parent.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(
            (parent.span_id().as_str(), parent.is_sampled()),
            ("00f067aa0ba902b7", true)
        );
        let child = parent.child();
        assert!(child.trace_id() == parent.trace_id() && child.span_id() != parent.span_id());
        let random = TraceParent::random();
        assert_eq!(random.to_string().parse::<TraceParent>().unwrap(), random);
        let later = format!("cc{}-more", &VALID[2..]);
        assert_eq!(later.parse::<TraceParent>().unwrap(), parent);
        let unknown_flags = format!("{}fc", &VALID[..53]);
        assert!(!unknown_flags.parse::<TraceParent>().unwrap().is_sampled());
    }

    #[test]
    fn what_is_not_a_context_is_refused() {
        let with = |at: usize, text: &str| format!("{}{text}{}", &VALID[..at], &VALID[at + text.len()..]);
        for bad in [
            String::new(),
            VALID[..54].to_owned(),
            format!("{VALID}-"),
            format!("01{}x", &VALID[2..]),
            format!("01{}-{}", &VALID[2..], "x".repeat(MAX_LEN)),
            VALID.to_uppercase(),
            with(0, "ff"),
            with(3, "+"),
            with(2, "_"),
            with(3, "00000000000000000000000000000000"),
            with(36, "0000000000000000"),
            with(53, "0g"),
            "ü".repeat(28),
            format!("0{}0", "ü".repeat(27)),
        ] {
            let error = bad.parse::<TraceParent>().unwrap_err();
            assert!(
                error.kind() == ErrorKind::Config && !error.to_string().contains("4bf9"),
                "{bad}"
            );
        }
    }
}
