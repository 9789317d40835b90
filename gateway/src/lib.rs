#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod access;
pub mod admin;
pub mod api;
pub mod config;
pub mod health;
pub mod listen;
pub mod metrics;
pub mod page;
mod publication;
mod respond;
pub mod server;
mod small_file;
#[cfg(test)]
mod tests;
pub mod tls;
