//! The wires against what the official emitter and adapters send, recorded by `tests/record.js`.

mod damaged;
mod keys;
mod marks;
mod member;
mod read;
mod recorded;
mod responses;
mod support;
