//! The command `sio`, as a library so that tests and examples can start its parts.

pub mod broker;
