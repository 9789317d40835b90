//! The state of a namespace: its name, and which of its handlers counts.

use std::sync::{Arc, Weak};

use manager_api::{EventName, NamespaceName};

use super::directory::Directory;
use super::handlers::Handlers;
use crate::client::Membership;
use crate::handler::{
    AnyHandler, BoxHandler, ConnectContext, DisconnectContext, EventContext, Handled, MiddlewareContext, Table,
};

/// What a namespace is made of, shared by the handles and the clients of it.
pub(crate) struct NamespaceState {
    pub(crate) name: NamespaceName,
    pub(super) own: Handlers,
    /// Those of the condition that let it come into being.
    pub(super) group: Option<Handlers>,
    pub(super) any: Handlers,
    pub(super) directory: Weak<Directory>,
}

impl NamespaceState {
    /// Returns what decides about a client that connects: the middleware and the handler, if there are any.
    pub(crate) fn on_connect(&self) -> Option<BoxHandler<ConnectContext>> {
        let handler = self.find(|table| table.connect.clone());
        let mut steps: Vec<_> = self.outer_first().flat_map(Handlers::before_connect).collect();
        if steps.is_empty() {
            return handler;
        }
        steps.extend(handler);
        Some(Arc::new(InOrder(steps)))
    }

    pub(crate) fn on_disconnect(&self) -> Option<BoxHandler<DisconnectContext>> {
        self.find(|table| table.disconnect.clone())
    }

    pub(crate) fn on_event(&self, name: &str) -> Option<(EventName, BoxHandler<EventContext>)> {
        self.find(|table| table.event(name))
    }

    /// Returns what an event has to pass; `None` if nothing.
    pub(crate) fn before_event(&self) -> Option<Box<[BoxHandler<MiddlewareContext>]>> {
        let is_filtered = self.outer_first().any(Handlers::filters_events);
        is_filtered.then(|| self.outer_first().flat_map(Handlers::before_event).collect())
    }

    /// Looks through the functions, then through the methods of types, the nearest first.
    fn find<R>(&self, look: impl Fn(&Table) -> Option<R>) -> Option<R> {
        let nearest_first = || {
            [Some(&self.own), self.group.as_ref(), Some(&self.any)]
                .into_iter()
                .flatten()
        };
        nearest_first()
            .find_map(|handlers| handlers.function(&look))
            .or_else(|| nearest_first().find_map(|handlers| handlers.method(&look)))
    }

    fn outer_first(&self) -> impl Iterator<Item = &Handlers> {
        [Some(&self.any), self.group.as_ref(), Some(&self.own)]
            .into_iter()
            .flatten()
    }
}

impl Membership for NamespaceState {
    fn name(&self) -> &NamespaceName {
        &self.name
    }

    fn has_disconnect_handler(&self) -> bool {
        self.find(|table| table.disconnect.as_ref().map(drop)).is_some()
    }
}

impl Drop for NamespaceState {
    fn drop(&mut self) {
        if let Some(directory) = self.directory.upgrade() {
            directory.forget(&self.name);
        }
    }
}

/// Handlers of which each but the first runs if the one before has accepted.
struct InOrder(Vec<BoxHandler<ConnectContext>>);

impl AnyHandler<ConnectContext> for InOrder {
    fn call(self: Arc<Self>, context: ConnectContext) -> Handled<ConnectContext> {
        Box::pin(async move {
            for step in &self.0 {
                let accepted = step.clone().call(context.clone()).await?;
                if accepted.is_err() {
                    return Ok(accepted);
                }
            }
            Ok(Ok(()))
        })
    }
}
