//! Namespace types: a value with a method per event.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use manager_api::id::IntoEventName;

use super::call::{AnyHandler, BoxHandler, Handled};
use super::context::{ConnectContext, Context, DisconnectContext, EventContext};
use super::outcome::IntoOutcome;
use super::table::Table;
use crate::extract::{FromContext, Rejection};

/// A type whose methods are the handlers of a namespace, with its own state; [registered](crate::handler::Handlers::register) as one unit.
///
/// Methods take `self: Arc<Self>`, then what a handler may take.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use socket_io::{Data, Error, Socket, SocketIo};
/// use socket_io::handler::{Methods, NamespaceType};
///
/// #[derive(Default)]
/// struct Chat {
///     num_messages: AtomicU64,
/// }
///
/// impl NamespaceType for Chat {
///     fn methods(methods: &mut Methods<Self>) {
///         methods.on_connect(Self::connect).on("say", Self::say);
///     }
/// }
///
/// impl Chat {
///     async fn connect(self: Arc<Self>, socket: Socket) -> bool {
///         socket.join("all").is_ok()
///     }
///
///     async fn say(self: Arc<Self>, socket: Socket, Data(text): Data<String>) -> Result<u64, Error> {
///         socket.to("all").emit("said", &text).await?;
///         Ok(self.num_messages.fetch_add(1, Ordering::Relaxed) + 1)
///     }
/// }
///
/// let io = SocketIo::new();
/// io.namespace("/chat").register(Chat::default());
/// // For every namespace that has no type of its own:
/// io.any_namespace().register(Chat::default());
/// ```
pub trait NamespaceType: Send + Sync + Sized + 'static {
    /// Says which method handles what. Called once, when the value is registered.
    fn methods(methods: &mut Methods<Self>);
}

/// Collects the methods of a [`NamespaceType`].
pub struct Methods<T> {
    this: Arc<T>,
    table: Table,
}

impl<T: NamespaceType> Methods<T> {
    pub(crate) fn table_of(this: Arc<T>) -> Table {
        let table = Table::default();
        let mut methods = Self { this, table };
        T::methods(&mut methods);
        methods.table
    }

    /// Names the method that accepts or refuses clients; see [`Handlers::on_connect`](crate::handler::Handlers::on_connect).
    pub fn on_connect<A: 'static>(&mut self, method: impl Method<T, ConnectContext, A>) -> &mut Self {
        self.table.connect = Some(self.bound(method));
        self
    }

    /// Names the method that learns of clients that have left; see [`Handlers::on_disconnect`](crate::handler::Handlers::on_disconnect).
    pub fn on_disconnect<A: 'static>(&mut self, method: impl Method<T, DisconnectContext, A>) -> &mut Self {
        self.table.disconnect = Some(self.bound(method));
        self
    }

    /// Names the method of an event; see [`Handlers::on`](crate::handler::Handlers::on).
    ///
    /// # Panics
    ///
    /// If the event's name is empty or reserved by Socket.IO.
    pub fn on<A: 'static>(&mut self, event: impl IntoEventName, method: impl Method<T, EventContext, A>) -> &mut Self {
        let event = event.into_event_name().unwrap_or_else(|error| panic!("{error}"));
        let method = self.bound(method);
        self.table.events.insert(event, method);
        self
    }

    /// Names the method of all other events; see [`Handlers::on_any`](crate::handler::Handlers::on_any).
    pub fn on_any<A: 'static>(&mut self, method: impl Method<T, EventContext, A>) -> &mut Self {
        self.table.any = Some(self.bound(method));
        self
    }

    fn bound<C: Context, A: 'static>(&self, method: impl Method<T, C, A>) -> BoxHandler<C> {
        Arc::new(Bound {
            this: self.this.clone(),
            method,
            arguments: PhantomData,
        })
    }
}

/// A method and its value.
struct Bound<T, M, A> {
    this: Arc<T>,
    method: M,
    arguments: PhantomData<fn() -> A>,
}

impl<T: NamespaceType, C: Context, M: Method<T, C, A>, A: 'static> AnyHandler<C> for Bound<T, M, A> {
    fn call(self: Arc<Self>, context: C) -> Handled<C> {
        Box::pin(async move { self.method.call(self.this.clone(), context).await })
    }
}

impl<T> std::fmt::Debug for Methods<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Methods").finish_non_exhaustive()
    }
}

/// An async method that takes `self: Arc<Self>` and up to seven arguments that a [`Handler`](super::Handler) may take.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as a method here",
    label = "not a method of this namespace type",
    note = "it must be async, take `self: Arc<Self>` first, then arguments that implement `FromContext`, and return what a handler may return"
)]
pub trait Method<T, C: Context, Arguments>: Send + Sync + 'static {
    /// Takes the arguments out of the context, then runs the method.
    ///
    /// # Errors
    ///
    /// [`Rejection`] if an argument cannot be had; the method has not run then.
    fn call(&self, this: Arc<T>, context: C) -> impl Future<Output = Result<C::Outcome, Rejection>> + Send;
}

macro_rules! method {
    ($($argument:ident),*) => {
        #[diagnostic::do_not_recommend]
        impl<T, C, F, Fut, $($argument,)*> Method<T, C, ($($argument,)*)> for F
        where
            T: Send + Sync + 'static,
            C: Context,
            F: Fn(Arc<T>, $($argument),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: IntoOutcome<C>,
            $($argument: FromContext<C> + Send + 'static,)*
        {
            #[allow(non_snake_case, reason = "an argument is named as its type is")]
            async fn call(&self, this: Arc<T>, context: C) -> Result<C::Outcome, Rejection> {
                $(let $argument = $argument::from_context(&context).await?;)*
                // A method that runs for long keeps no payload that it did not ask for.
                drop(context);
                Ok(self(this, $($argument),*).await.into_outcome())
            }
        }
    };
}

method!();
method!(A1);
method!(A1, A2);
method!(A1, A2, A3);
method!(A1, A2, A3, A4);
method!(A1, A2, A3, A4, A5);
method!(A1, A2, A3, A4, A5, A6);
method!(A1, A2, A3, A4, A5, A6, A7);
