//! Handlers: async functions, and what they are called with and may return.
//!
//! | name | what |
//! |---|---|
//! | [`Handler`], [`IntoOutcome`], [`Ack`], [`Pass`] | functions that can be handlers, and what they may return |
//! | [`Handlers`] | the handlers of a namespace, where they are registered |
//! | [`NamespaceType`], [`Methods`], [`Method`] | a type whose methods are handlers |
//! | [`Context`] and the types that implement it | what a handler is called with, which its arguments are [taken from](crate::extract) |

mod call;
mod context;
mod methods;
mod outcome;
mod table;

pub use crate::namespace::Handlers;
pub use call::Handler;
pub(crate) use call::{AnyHandler, BoxHandler, Handled, boxed};
pub use context::{ConnectContext, Context, DisconnectContext, EventContext, HandlerError, MiddlewareContext, Pass};
pub use methods::{Method, Methods, NamespaceType};
pub use outcome::{Ack, IntoOutcome};
pub(crate) use table::Table;
