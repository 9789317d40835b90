//! Servers of Node.js: socket.io with each of its adapters over Redis.

mod churn;
mod member;
mod peers;
