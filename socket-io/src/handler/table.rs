//! The table of handlers: which function or method handles what.

use std::collections::HashMap;

use manager_api::EventName;

use super::call::BoxHandler;
use super::context::{ConnectContext, DisconnectContext, EventContext};

/// Handlers by what they handle.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) connect: Option<BoxHandler<ConnectContext>>,
    pub(crate) disconnect: Option<BoxHandler<DisconnectContext>>,
    pub(crate) any: Option<BoxHandler<EventContext>>,
    pub(crate) events: HashMap<EventName, BoxHandler<EventContext>>,
}

impl Table {
    /// Finds the handler of an event, or the one of all events.
    pub(crate) fn event(&self, name: &str) -> Option<(EventName, BoxHandler<EventContext>)> {
        if let Some((name, handler)) = self.events.get_key_value(name) {
            return Some((name.clone(), handler.clone()));
        }
        let any = self.any.as_ref()?;
        // A client may emit an event whose name is empty, which no handler can have.
        let name = EventName::new(name).ok()?;
        Some((name, any.clone()))
    }
}
