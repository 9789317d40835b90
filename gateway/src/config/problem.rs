//! Problems of a configuration: what is wrong, and where.

use std::fmt;

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting, where it is one that is known.
    key: Option<&'static str>,
    /// Where it stands: a flag, a variable, or a file and its line.
    place: String,
    text: String,
}

impl Problem {
    /// Makes the problem of the setting with this key.
    pub fn of(key: &'static str, text: impl fmt::Display) -> Self {
        Self {
            key: Some(key),
            place: key.to_owned(),
            text: text.to_string(),
        }
    }

    /// Makes a problem at a place.
    pub(super) fn at(place: impl Into<String>, text: impl fmt::Display) -> Self {
        Self {
            key: None,
            place: place.into(),
            text: text.to_string(),
        }
    }

    /// Returns the key of the setting, if it is one that is known.
    pub fn key(&self) -> Option<&'static str> {
        self.key
    }

    /// Names where the setting stands, in the place of its key.
    pub(super) fn placed(mut self, place: &str) -> Self {
        self.place = place.to_owned();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

impl std::error::Error for Problem {}

/// All that is wrong with a configuration: one or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
