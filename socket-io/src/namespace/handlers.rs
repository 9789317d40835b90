//! The handlers of a namespace, or of several.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use manager_api::id::IntoEventName;
use manager_api::lock::Unpoisoned;

use crate::handler::{
    BoxHandler, ConnectContext, DisconnectContext, EventContext, Handler, Methods, MiddlewareContext, NamespaceType,
    Table, boxed,
};

/// The handlers of one namespace ([`Namespace`](crate::Namespace) dereferences to them), of
/// [every namespace](crate::SocketIo::any_namespace), or of [those that match](crate::SocketIo::namespaces_where).
///
/// Cloning is cheap; clones are the same handlers. A later registration for the same event replaces an earlier one. Handlers of one
/// client run one after the other, in the order in which its events came.
///
/// # Which handler runs
///
/// The first of these that there is:
///
/// 1. that of the namespace for the event, then its [catch-all](Self::on_any);
/// 2. the same two of the [matching group](crate::SocketIo::namespaces_where), if the namespace exists because of one;
/// 3. the same two of [every namespace](crate::SocketIo::any_namespace);
/// 4. in the same order, those of [namespace types](Self::register): a function always wins over a method.
///
/// An event without any of them is ignored, and gets no acknowledgement. Connects and disconnects are looked up alike, but are never
/// caught by a catch-all, and a client cannot emit events of these names.
///
/// # Panics
///
/// Every registration panics in the namespace of the administrators (feature `admin`; by default `/admin`): a connect handler there
/// could accept clients that are not administrators.
#[derive(Clone, Default)]
pub struct Handlers {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// So that events in namespaces without middleware cost no more than a look.
    filters_events: AtomicBool,
    lists: RwLock<Lists>,
}

#[derive(Default)]
struct Lists {
    functions: Table,
    methods: Table,
    before_connect: Vec<BoxHandler<ConnectContext>>,
    before_event: Vec<BoxHandler<MiddlewareContext>>,
    is_sealed: bool,
}

impl Handlers {
    /// Registers the handler that accepts or refuses clients. Without one, every client is accepted.
    ///
    /// Until it has accepted, the client gets nothing of the namespace: what the handler itself sends it, and the rooms it enters it
    /// into, take effect with the acceptance. A handler that fails or panics refuses; one whose client is gone, for instance because of the
    /// [connect timeout](crate::config::Config::connect_timeout), is dropped where it waits.
    ///
    /// ```
    /// # use socket_io::{Auth, Refusal, Socket, SocketIo};
    /// # let io = SocketIo::new();
    /// #[derive(serde::Deserialize)]
    /// struct Login { token: String }
    ///
    /// io.namespace("/").on_connect(async |socket: Socket, Auth(login): Auth<Login>| {
    ///     if login.token != "secret" {
    ///         return Err(Refusal::new("who are you?"));
    ///     }
    ///     socket.join("guests").map_err(|error| Refusal::new(error.to_string()))
    /// });
    /// ```
    pub fn on_connect<A: 'static>(&self, handler: impl Handler<ConnectContext, A>) -> &Self {
        self.write(|lists| lists.functions.connect = Some(boxed(handler)));
        self
    }

    /// Registers the handler that learns of clients that have left. They are in no room any more.
    pub fn on_disconnect<A: 'static>(&self, handler: impl Handler<DisconnectContext, A>) -> &Self {
        self.write(|lists| lists.functions.disconnect = Some(boxed(handler)));
        self
    }

    /// Registers the handler of an event. What it returns is the acknowledgement, if the client asked for one.
    ///
    /// ```
    /// # use socket_io::{Data, Socket, SocketIo};
    /// # let io = SocketIo::new();
    /// io.namespace("/").on("add", async |Data((a, b)): Data<(i64, i64)>| a + b);
    /// ```
    ///
    /// # Panics
    ///
    /// If the name is empty or reserved by Socket.IO: `connect` and `disconnect` have methods of their own.
    pub fn on<A: 'static>(&self, event: impl IntoEventName, handler: impl Handler<EventContext, A>) -> &Self {
        let event = event.into_event_name().unwrap_or_else(|error| panic!("{error}"));
        self.write(|lists| drop(lists.functions.events.insert(event, boxed(handler))));
        self
    }

    /// Registers the handler of every event that has none of its own here.
    ///
    /// It can ask for the event's name. Connects and disconnects never come here.
    ///
    /// ```
    /// # use socket_io::SocketIo;
    /// # use socket_io::manager_api::{EventName, NamespaceName, Payload};
    /// # let io = SocketIo::new();
    /// io.namespace("/").on_any(async |event: EventName, arguments: Payload| arguments);
    /// // All events of all namespaces:
    /// io.any_namespace().on_any(async |event: EventName, namespace: NamespaceName| format!("{event} in {namespace}"));
    /// ```
    pub fn on_any<A: 'static>(&self, handler: impl Handler<EventContext, A>) -> &Self {
        self.write(|lists| lists.functions.any = Some(boxed(handler)));
        self
    }

    /// Adds a function that every connecting client has to pass before the connect handler, in the order of registration.
    ///
    /// It takes and returns what a [connect handler](Self::on_connect) does; the first that refuses, fails or panics ends it, and the
    /// client is told its refusal. Those of [every namespace](crate::SocketIo::any_namespace) come first, then those of a group, then
    /// those of the namespace.
    ///
    /// ```
    /// # use socket_io::{Refusal, SocketIo};
    /// # use socket_io::extract::Query;
    /// # let io = SocketIo::new();
    /// #[derive(serde::Deserialize)]
    /// struct Version { version: u32 }
    ///
    /// io.namespace("/").use_connect(async |Query(Version { version }): Query<Version>| match version {
    ///     2.. => Ok(()),
    ///     _ => Err(Refusal::new("too old").with_data(&serde_json::json!({"at least": 2}))),
    /// });
    /// ```
    pub fn use_connect<A: 'static>(&self, middleware: impl Handler<ConnectContext, A>) -> &Self {
        self.write(|lists| lists.before_connect.push(boxed(middleware)));
        self
    }

    /// Adds a function that every event has to pass before its handler, in the order of registration.
    ///
    /// It lets the event pass by `()` or `true`, gives it other arguments by a [`Payload`](manager_api::Payload), and refuses it by `false` or
    /// an error: that is logged, no handler runs, and the client gets no acknowledgement. Events that have no handler pass here too.
    /// Those of [every namespace](crate::SocketIo::any_namespace) come first, then those of a group, then those of the namespace.
    ///
    /// ```
    /// # use socket_io::{Socket, SocketIo};
    /// # use socket_io::manager_api::{EventName, Payload};
    /// # let io = SocketIo::new();
    /// io.namespace("/").use_event(async |socket: Socket, event: EventName, arguments: Payload| {
    ///     if event == "admin" && !socket.rooms().contains(&"admins".into()) {
    ///         return Err("for admins only");
    ///     }
    ///     Ok(arguments)
    /// });
    /// ```
    pub fn use_event<A: 'static>(&self, middleware: impl Handler<MiddlewareContext, A>) -> &Self {
        self.write(|lists| lists.before_event.push(boxed(middleware)));
        self.shared.filters_events.store(true, Ordering::Release);
        self
    }

    /// Registers a [namespace type](NamespaceType): a value with a method per event. It replaces an earlier one.
    ///
    /// One value serves all clients; what belongs to one of them goes into its [session](crate::Socket::session). Functions registered
    /// by [`on`](Self::on), [`on_any`](Self::on_any), … win over methods.
    pub fn register<T: NamespaceType>(&self, handler: T) -> &Self {
        let table = Methods::table_of(Arc::new(handler));
        self.write(|lists| lists.methods = table);
        self
    }

    /// Refuses every further registration.
    #[cfg(feature = "admin")]
    pub(crate) fn seal(&self) {
        self.write(|lists| lists.is_sealed = true);
    }

    pub(super) fn function<R>(&self, look: impl FnOnce(&Table) -> Option<R>) -> Option<R> {
        self.read(|lists| look(&lists.functions))
    }

    pub(super) fn method<R>(&self, look: impl FnOnce(&Table) -> Option<R>) -> Option<R> {
        self.read(|lists| look(&lists.methods))
    }

    pub(super) fn filters_events(&self) -> bool {
        self.shared.filters_events.load(Ordering::Acquire)
    }

    pub(super) fn before_connect(&self) -> Vec<BoxHandler<ConnectContext>> {
        self.read(|lists| lists.before_connect.clone())
    }

    pub(super) fn before_event(&self) -> Vec<BoxHandler<MiddlewareContext>> {
        self.read(|lists| lists.before_event.clone())
    }

    fn read<R>(&self, look: impl FnOnce(&Lists) -> R) -> R {
        look(&self.shared.lists.read().unpoisoned())
    }

    fn write(&self, change: impl FnOnce(&mut Lists)) {
        let mut lists = self.shared.lists.write().unpoisoned();
        assert!(
            !lists.is_sealed,
            "this namespace belongs to the administrators: `Admin::namespace` chooses another one for them"
        );
        change(&mut lists);
    }
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handlers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use manager_api::EventName;

    use super::Handlers;

    #[test]
    fn a_validated_name_of_a_handler_is_not_validated_again() {
        let (handlers, event) = (Handlers::default(), EventName::new("news").unwrap());
        handlers.on(&event, async || {});
        let kept = handlers.function(|table| table.events.keys().next().cloned()).unwrap();
        // A second validation would copy the text.
        assert!(std::ptr::eq(kept.as_str(), event.as_str()));
    }
}
