//! Wires: how the messages between processes are written for a broker, and on which topics they travel.
//!
//! A manager carries bytes; a [`Wire`] makes them out of [messages](crate::message), and messages out of them. All
//! processes of a fleet use the same one:
//!
//! | wire | fleet | where |
//! |---|---|---|
//! | [`Python`] | our servers and emitters, python-socketio, Flask-SocketIO | this module, over every manager; the default |
//! | `node-classic`, `node-sharded`, `node-streams`, `node-postgres` | Socket.IO servers of Node with the adapters of the same names | the crate `node-wire`, over managers with [topics](crate::topics): Redis, PostgreSQL |
//!
//! [`Messenger`] is what a wire makes of a manager for one process.

mod messenger;
mod publish;
pub mod python;

pub use messenger::{Arrival, Arrivals, Encoded, Messenger, Process, Role, RoomWatcher, Servers, Wire};
pub use publish::publish;
pub use python::{DecodeLimits, Python};
