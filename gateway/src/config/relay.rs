//! The table of `sio relay`, which may stand in the same file.

use super::value::Raw;

/// The beginning of its keys.
pub(super) const TABLE: &str = "relay.";

/// A value of the table `relay` of the file, which `sio relay` reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayValue {
    /// The key, without the name of the table.
    pub key: String,
    /// The value, or the values of a list.
    pub values: Vec<String>,
    /// The file and the line.
    pub place: String,
}

impl RelayValue {
    pub(super) fn new(key: &str, raw: Raw, place: String) -> Self {
        let values = match raw {
            Raw::Text(text) => vec![text],
            Raw::List(texts) => texts,
        };
        let key = key.to_owned();
        Self { key, values, place }
    }
}
