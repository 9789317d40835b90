//! The trait of handlers: async functions whose arguments say what they need.

use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
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
    note = "its return value must implement `IntoOutcome`: for events `()`, strings, numbers, tuples, `Ack(T)`, or a `Result` of them whose error converts into `Box<dyn Error + Send + Sync>`"
)]
pub trait Handler<C: Context, Arguments>: Send + Sync + 'static {
    /// Takes the arguments out of the context, then runs the function.
    ///
    /// # Errors
    ///
    /// [`Rejection`] if an argument cannot be had; the function has not run then.
    fn call<H>(handler: H, context: C) -> impl Future<Output = Result<C::Outcome, Rejection>> + Send
    where
        H: Deref<Target = Self> + Send;
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
            $($argument: FromContext<C> + Send + 'static,)*
        {
            #[allow(non_snake_case, reason = "an argument is named as its type is")]
            async fn call<H>(handler: H, context: C) -> Result<C::Outcome, Rejection>
            where
                H: Deref<Target = Self> + Send,
            {
                $(let $argument = $argument::from_context(&context).await?;)*
                // A handler that runs for long keeps no payload that it did not ask for.
                drop(context);
                Ok(handler($($argument),*).await.into_outcome())
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

/// The outcome of a handler, once it has run; or why it could not.
pub(crate) type Handled<C> = BoxFuture<'static, Result<<C as Context>::Outcome, Rejection>>;

/// A handler whose arguments are forgotten.
pub(crate) trait AnyHandler<C: Context>: Send + Sync {
    /// As [`Handler::call`]; the handler lives as long as the future.
    fn call(self: Arc<Self>, context: C) -> Handled<C>;
}

/// A shared [`AnyHandler`].
pub(crate) type BoxHandler<C> = Arc<dyn AnyHandler<C>>;

struct Function<F, A> {
    function: F,
    arguments: PhantomData<fn() -> A>,
}

/// The function of a shared handler, which lives as long as its call: the future has no other within it.
struct Shared<F, A>(Arc<Function<F, A>>);

impl<F, A> Deref for Shared<F, A> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.0.function
    }
}

impl<C: Context, F: Handler<C, A>, A: 'static> AnyHandler<C> for Function<F, A> {
    fn call(self: Arc<Self>, context: C) -> Handled<C> {
        Box::pin(F::call(Shared(self), context))
    }
}

pub(crate) fn boxed<C: Context, A: 'static>(function: impl Handler<C, A>) -> BoxHandler<C> {
    let arguments = PhantomData;
    Arc::new(Function { function, arguments })
}
