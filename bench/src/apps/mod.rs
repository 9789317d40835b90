//! Programs under test: the floor, a server and an emitter of this project.
//!
//! Every server answers the same events in namespace `/`: `echo(data)` acknowledges with `data`; `join(room)` and `leave(room)` acknowledge
//! with `"ok"`; `publish(room, bytes, count)` emits `m` to the room, `count` times, each a text of `bytes` bytes that begins with the time
//! since boot.

pub mod emitter;
pub mod floor;
pub mod server;
