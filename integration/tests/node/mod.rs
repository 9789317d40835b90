//! Servers of Node.js: socket.io with each of its adapters over Redis.

mod member;
mod peers;
