//! The trait of handlers: async functions whose arguments say what they need.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::context::Context;
use super::outcome::IntoOutcome;
use crate::extract::{FromContext, Rejection};

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
