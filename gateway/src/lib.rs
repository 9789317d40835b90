#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod access;
pub mod api;
#[cfg(test)]
mod tests;
