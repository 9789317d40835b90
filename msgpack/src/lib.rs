#![doc = include_str!("../README.md")]
//!
//! # What becomes what
//!
//! | MessagePack | JSON |
//! |---|---|
//! | nil, `undefined` | `null` |
//! | numbers | numbers; NaN and the infinities are `null` |
//! | a key that is a number | its text |
//! | binary, typed arrays | a placeholder, and an attachment |
//! | a map with the key `_placeholder` | an object whose key is escaped, so that it stands for no attachment |
//! | a date | ISO 8601 text; `null` where JavaScript has no such date |
#![deny(missing_docs)]

pub mod date;
mod error;
mod input;
mod limits;
mod read;
mod write;

pub use error::Error;
pub use limits::Limits;
pub use read::Reader;
pub use write::{
    write_array_behind, write_array_len, write_bool, write_json, write_map_len, write_nil, write_text, write_uint,
};

#[cfg(test)]
mod tests;
