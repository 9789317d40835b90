//! The values that handlers may return.

use bytes::Bytes;
use manager_api::Payload;
use serde::Serialize;

use super::context::{ConnectContext, Context, DisconnectContext, EventContext, HandlerError, MiddlewareContext, Pass};
use crate::error::Refusal;

/// Something that a handler can return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the return value of this handler",
    note = "an event handler returns its acknowledgement: `()`, strings, numbers, `Value`, `Bytes`, vectors, options, tuples, `Ack(T)` around your own type, or a `Result` of these whose error converts into `Box<dyn Error + Send + Sync>`, as texts and errors do",
    note = "a connect handler returns `()` or `bool`, or a `Result` whose error converts into `Refusal`; a disconnect handler returns `()` or a `Result`; middleware of events returns `()`, `bool`, `Payload`, or a `Result` of these"
)]
pub trait IntoOutcome<C: Context> {
    /// Converts it.
    fn into_outcome(self) -> C::Outcome;
}

/// Acknowledges with a value of your own type.
///
/// As with [`Payload::new`], a tuple is several arguments and `()` none.
#[derive(Clone, Copy, Debug)]
pub struct Ack<T>(pub T);

impl<T: Serialize> IntoOutcome<EventContext> for Ack<T> {
    fn into_outcome(self) -> Result<Payload, HandlerError> {
        acknowledge(&self.0)
    }
}

impl IntoOutcome<EventContext> for Payload {
    fn into_outcome(self) -> Result<Payload, HandlerError> {
        Ok(self)
    }
}

impl<T: IntoOutcome<EventContext>, E: Into<HandlerError>> IntoOutcome<EventContext> for Result<T, E> {
    fn into_outcome(self) -> Result<Payload, HandlerError> {
        self.map_err(Into::into)?.into_outcome()
    }
}

macro_rules! acknowledgement {
    ($([$($generics:tt)*] $type:ty;)*) => {
        $(impl<$($generics)*> IntoOutcome<EventContext> for $type {
            fn into_outcome(self) -> Result<Payload, HandlerError> {
                acknowledge(&self)
            }
        })*
    };
}

acknowledgement! {
    [] (); [] bool; [] char; [] String; [] &'static str;
    [] i8; [] i16; [] i32; [] i64; [] isize; [] u8; [] u16; [] u32; [] u64; [] usize; [] f32; [] f64;
    [] serde_json::Value; [] Bytes;
    [T: Serialize] Vec<T>; [T: Serialize] Option<T>;
    [A: Serialize] (A,); [A: Serialize, B: Serialize] (A, B); [A: Serialize, B: Serialize, C: Serialize] (A, B, C);
    [A: Serialize, B: Serialize, C: Serialize, D: Serialize] (A, B, C, D);
}

fn acknowledge<T: Serialize>(value: &T) -> Result<Payload, HandlerError> {
    Payload::new(value).map_err(Into::into)
}

impl IntoOutcome<ConnectContext> for () {
    fn into_outcome(self) -> Result<(), Refusal> {
        Ok(())
    }
}

impl IntoOutcome<ConnectContext> for bool {
    fn into_outcome(self) -> Result<(), Refusal> {
        if self { Ok(()) } else { Err(Refusal::default()) }
    }
}

impl<T: IntoOutcome<ConnectContext>, E: Into<Refusal>> IntoOutcome<ConnectContext> for Result<T, E> {
    fn into_outcome(self) -> Result<(), Refusal> {
        self.map_err(Into::into)?.into_outcome()
    }
}

impl IntoOutcome<DisconnectContext> for () {
    fn into_outcome(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl<E: Into<HandlerError>> IntoOutcome<DisconnectContext> for Result<(), E> {
    fn into_outcome(self) -> Result<(), HandlerError> {
        self.map_err(Into::into)
    }
}

impl IntoOutcome<MiddlewareContext> for Pass {
    fn into_outcome(self) -> Result<Pass, HandlerError> {
        Ok(self)
    }
}

impl IntoOutcome<MiddlewareContext> for () {
    fn into_outcome(self) -> Result<Pass, HandlerError> {
        Ok(Pass::Unchanged)
    }
}

impl IntoOutcome<MiddlewareContext> for bool {
    fn into_outcome(self) -> Result<Pass, HandlerError> {
        if self {
            Ok(Pass::Unchanged)
        } else {
            Err("refused".into())
        }
    }
}

impl IntoOutcome<MiddlewareContext> for Payload {
    fn into_outcome(self) -> Result<Pass, HandlerError> {
        Ok(Pass::With(self))
    }
}

impl<T: IntoOutcome<MiddlewareContext>, E: Into<HandlerError>> IntoOutcome<MiddlewareContext> for Result<T, E> {
    fn into_outcome(self) -> Result<Pass, HandlerError> {
        self.map_err(Into::into)?.into_outcome()
    }
}
