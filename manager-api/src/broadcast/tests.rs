//! Unit tests of the builder.

use crate::memory::MemoryBus;
use crate::{Emitter, EventName, NamespaceName, Payload};

#[test]
fn validated_names_reach_the_message_without_being_validated_again() {
    let (namespace, event) = (NamespaceName::new("/chat").unwrap(), EventName::new("news").unwrap());
    let broadcast = Emitter::new(MemoryBus::new().manager("channel")).of(&namespace);
    let emit = broadcast.into_emit(&event, Ok(Payload::empty())).unwrap();
    // A second validation would copy the text.
    assert!(std::ptr::eq(emit.event.as_str(), event.as_str()));
    assert!(std::ptr::eq(emit.namespace.as_str(), namespace.as_str()));
}
