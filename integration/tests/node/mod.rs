//! Servers of Node.js: socket.io with each of its adapters over Redis.

mod churn;
mod closing;
mod commands;
mod emitter;
mod fleet;
mod kills;
mod member;
mod peers;
mod rights;
mod rooms;
mod served;
