//! ClientManager, messages, wire format, registry, hub, emitter and the in-memory manager.
