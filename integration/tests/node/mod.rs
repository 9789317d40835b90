//! Servers of Node.js: socket.io with each of its adapters over Redis, and with that over PostgreSQL.

mod churn;
mod closing;
mod commands;
mod emitter;
mod fleet;
mod kills;
mod member;
mod peers;
mod postgres;
mod rights;
mod rooms;
mod served;
