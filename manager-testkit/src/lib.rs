//! Conformance suite, fault injection and recorder for implementations of ClientManager.
