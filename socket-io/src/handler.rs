//! Handlers: async functions whose arguments say what they need.

mod extract;
mod methods;
mod middleware;
mod outcome;
mod request;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use manager_api::{EventName, Payload};

use crate::error::DisconnectReason;
use crate::socket::Socket;

pub use extract::{Auth, Data, FromContext, Rejection, State};
pub use methods::{Method, Methods, NamespaceType};
pub use middleware::{MiddlewareContext, Pass};
pub use outcome::{Ack, IntoOutcome};
pub use request::{Extension, Query};

/// What a handler of an event is called with.
#[derive(Clone, Debug)]
pub struct EventContext {
    /// The client that emitted the event.
    pub socket: Socket,
    /// The event's name.
    pub event: EventName,
    /// Its arguments.
    pub payload: Payload,
}

/// What a connect handler is called with.
#[derive(Clone, Debug)]
pub struct ConnectContext {
    /// The client that wants to connect. What it is sent, and the rooms it enters, take effect when it is accepted.
    pub socket: Socket,
    /// The authentication details it gave: an object, or nothing.
    pub auth: Payload,
}

/// What a disconnect handler is called with.
#[derive(Clone, Debug)]
pub struct DisconnectContext {
    /// The client that is gone. It is in no room any more.
    pub socket: Socket,
    /// Why.
    pub reason: DisconnectReason,
}

/// What a handler can be called with: [`EventContext`], [`ConnectContext`], [`DisconnectContext`], or [`MiddlewareContext`].
pub trait Context: Send + Sized + 'static {
    /// What becomes of the handler's return value.
    type Outcome: Send + 'static;

    /// The client that it is about.
    fn socket(&self) -> &Socket;
}

impl Context for EventContext {
    /// The arguments of the acknowledgement, or why there is none.
    type Outcome = Result<Payload, HandlerError>;

    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Context for ConnectContext {
    /// Acceptance or refusal.
    type Outcome = Result<(), crate::Refusal>;

    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Context for DisconnectContext {
    type Outcome = Result<(), HandlerError>;

    fn socket(&self) -> &Socket {
        &self.socket
    }
}

/// Says why a handler failed; it is logged, and the client gets no acknowledgement.
pub type HandlerError = String;

/// An async function that can be registered for events, connects or disconnects.
///
/// Implemented for functions and closures of up to eight arguments, each of which can be taken [from the context](FromContext), that return
/// something the context can [make use of](IntoOutcome).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as a handler here",
    label = "not a handler",
    note = "a handler is an async function or a `move` closure that returns a future which is `Send + 'static`",
    note = "each argument must implement `FromContext` (such as `Socket`, `Data<T>`, `Payload`, `EventName`, `NamespaceName`, `State<T>`, `Query<T>`; in connect handlers `Auth<T>`; in disconnect handlers `DisconnectReason`)",
    note = "its return value must implement `IntoOutcome`: for events `()`, strings, numbers, tuples, `Ack(T)`, or a `Result` of them"
)]
pub trait Handler<C: Context, Arguments>: Send + Sync + 'static {
    /// Takes the arguments out of the context and starts the function.
    ///
    /// # Errors
    ///
    /// [`Rejection`] if an argument cannot be had.
    fn call(&self, context: C) -> Result<BoxFuture<'static, C::Outcome>, Rejection>;
}

macro_rules! handler {
    ($($argument:ident),*) => {
        #[diagnostic::do_not_recommend]
        impl<C, F, Fut, $($argument,)*> Handler<C, ($($argument,)*)> for F
        where
            C: Context,
            F: Fn($($argument),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: IntoOutcome<C>,
            $($argument: FromContext<C>,)*
        {
            #[allow(unused_variables, reason = "the function without arguments needs no context")]
            fn call(&self, context: C) -> Result<BoxFuture<'static, C::Outcome>, Rejection> {
                let future = self($($argument::from_context(&context)?),*);
                Ok(Box::pin(async move { future.await.into_outcome() }))
            }
        }
    };
}

handler!();
handler!(A1);
handler!(A1, A2);
handler!(A1, A2, A3);
handler!(A1, A2, A3, A4);
handler!(A1, A2, A3, A4, A5);
handler!(A1, A2, A3, A4, A5, A6);
handler!(A1, A2, A3, A4, A5, A6, A7);
handler!(A1, A2, A3, A4, A5, A6, A7, A8);

/// A handler whose arguments are forgotten.
pub(crate) type BoxHandler<C> =
    Arc<dyn Fn(C) -> Result<BoxFuture<'static, <C as Context>::Outcome>, Rejection> + Send + Sync>;

pub(crate) fn boxed<C: Context, A>(handler: impl Handler<C, A>) -> BoxHandler<C> {
    Arc::new(move |context| handler.call(context))
}

/// The values that handlers can ask for by type.
#[derive(Clone, Default)]
pub(crate) struct States(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl States {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, state: T) {
        self.0.insert(TypeId::of::<T>(), Arc::new(state));
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }
}
