//! Servers of Node.js: socket.io with each of its adapters over Redis.

mod commands;
mod emitter;
mod fleet;
mod peers;
mod rights;
