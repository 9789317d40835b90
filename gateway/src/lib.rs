#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod access;
pub mod admin;
pub mod api;
pub mod health;
pub mod metrics;
mod respond;
#[cfg(test)]
mod tests;
