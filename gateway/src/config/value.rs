//! Values of settings: how they are read from text, and written into a file.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::listen::Address;

/// A value as it was given, before its kind is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    /// One text; a list with commas where several are expected.
    Text(String),
    /// Several: of an array, or of a flag that was repeated.
    List(Vec<String>),
}

impl Raw {
    /// Returns names of files that start from a folder, unless they are absolute.
    pub(super) fn below(&self, folder: Option<&Path>, is_list: bool) -> Self {
        let below = |name: &str| match folder {
            Some(folder) if !name.is_empty() => folder.join(name).display().to_string(),
            _ => name.to_owned(),
        };
        match self {
            Self::Text(names) if is_list => Self::List(names.split(',').map(str::trim).map(below).collect()),
            Self::Text(name) => Self::Text(below(name.trim())),
            Self::List(names) => Self::List(names.iter().map(|name| below(name)).collect()),
        }
    }

    pub(super) fn one(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text.trim()),
            Self::List(_) => Err("expected one value, not a list".to_owned()),
        }
    }
}

/// A type of values.
pub(super) trait Value: Sized {
    /// What it is called in the documentation.
    const KIND: &'static str;
    const IS_LIST: bool = false;
    const IS_SWITCH: bool = false;

    /// Reads a value; the error says what was expected.
    fn read(raw: &Raw) -> Result<Self, String>;

    /// Writes it as TOML; `None` if there is nothing to write.
    fn show(&self) -> Option<String>;
}

/// Writes text as TOML, whose basic strings are those of JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Value for bool {
    const KIND: &'static str = "true or false";
    const IS_SWITCH: bool = true;

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.one()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err("expected true or false".to_owned()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for String {
    const KIND: &'static str = "text";

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.one()? {
            "" => Err("must not be empty".to_owned()),
            text => Ok(text.to_owned()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Value for u32 {
    const KIND: &'static str = "number";

    fn read(raw: &Raw) -> Result<Self, String> {
        let digits = raw.one()?.replace('_', "");
        let number = digits.parse().ok().filter(|number| *number > 0);
        number.ok_or_else(|| format!("expected a number from 1 to {}", u32::MAX))
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for Duration {
    const KIND: &'static str = "time";

    fn read(raw: &Raw) -> Result<Self, String> {
        manager_api::deadline::parse(raw.one()?)
    }

    fn show(&self) -> Option<String> {
        Some(match self.subsec_millis() {
            0 => format!("\"{}s\"", self.as_secs()),
            _ => format!("\"{}ms\"", self.as_millis()),
        })
    }
}

impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;
    const IS_LIST: bool = T::IS_LIST;
    const IS_SWITCH: bool = T::IS_SWITCH;

    fn read(raw: &Raw) -> Result<Self, String> {
        T::read(raw).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }
}

impl Value for Vec<String> {
    const KIND: &'static str = "list of texts";
    const IS_LIST: bool = true;

    fn read(raw: &Raw) -> Result<Self, String> {
        let texts: Vec<_> = match raw {
            Raw::Text(text) => text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect(),
            Raw::List(texts) => texts.iter().map(|text| text.trim()).collect(),
        };
        match texts.contains(&"") {
            true => Err("an entry must not be empty".to_owned()),
            false => Ok(texts.into_iter().map(str::to_owned).collect()),
        }
    }

    fn show(&self) -> Option<String> {
        let texts: Vec<_> = self.iter().map(|text| quoted(text)).collect();
        Some(format!("[{}]", texts.join(", ")))
    }
}

/// Text that is never shown: `Debug` and the output of `sio config` write `…`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Value for Secret {
    const KIND: &'static str = "secret text";

    fn read(raw: &Raw) -> Result<Self, String> {
        String::read(raw).map(Self)
    }

    fn show(&self) -> Option<String> {
        Some("\"…\"".to_owned())
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

impl Value for ByteSize {
    const KIND: &'static str = "size";

    fn read(raw: &Raw) -> Result<Self, String> {
        let text = raw.one()?;
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit: usize = match &text[digits.len()..] {
            "" | "B" => 1,
            "KB" | "kB" => 1_000,
            "MB" => 1_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            unit => return Err(format!("unknown unit {unit:?}: use KB, MB, KiB or MiB")),
        };
        let number = digits.trim().replace('_', "").parse::<usize>().ok();
        let size = number
            .and_then(|number| number.checked_mul(unit))
            .filter(|size| *size > 0);
        let size = size.filter(|size| u32::try_from(*size).is_ok());
        size.map(Self)
            .ok_or_else(|| "expected a size such as 1MB, less than 4 GiB".to_owned())
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

impl Value for Address {
    const KIND: &'static str = "address";

    fn read(raw: &Raw) -> Result<Self, String> {
        raw.one()?.parse()
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogLevel {
    /// What ends the server, or should be looked at today.
    Error,
    /// … and what may have to be looked at.
    Warn,
    /// … and clients that come and go, connections to the broker.
    Info,
    /// … and what helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// All levels, by how much they tell.
    const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Value for LogLevel {
    const KIND: &'static str = "level";

    fn read(raw: &Raw) -> Result<Self, String> {
        let text = raw.one()?;
        let level = Self::ALL.into_iter().find(|level| level.as_str() == text);
        level.ok_or_else(|| "expected error, warn, info, debug or trace".to_owned())
    }

    fn show(&self) -> Option<String> {
        Some(quoted(self.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Value>(text: &str) -> Result<T, String> {
        T::read(&Raw::Text(text.to_owned()))
    }

    #[test]
    fn values_are_read_with_their_units_and_shown_so_that_they_are_read_again() {
        assert_eq!(read::<Duration>("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(read::<Duration>("0"), Ok(Duration::ZERO));
        assert_eq!(Duration::from_millis(1_500).show().as_deref(), Some("\"1500ms\""));
        assert_eq!(read("64KiB"), Ok(ByteSize(65_536)));
        assert_eq!(read("1_000"), Ok(ByteSize(1_000)));
        assert_eq!(read("10_000"), Ok(10_000_u32));
        assert_eq!(read("a, b,"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(read("on"), Ok(Some(true)));
        assert_eq!(vec!["a\"b".to_owned()].show().as_deref(), Some(r#"["a\"b"]"#));
        assert_eq!(read("debug"), Ok(LogLevel::Debug));
    }

    #[test]
    fn what_cannot_be_read_says_what_was_expected() {
        for bad in ["", "-1s", "5d", "NaN", "inf", "25h", "é"] {
            assert!(read::<Duration>(bad).is_err(), "{bad}");
        }
        for bad in ["", "0", "-1", "1TB", "5GiB", "9999999999999999999999"] {
            assert!(read::<ByteSize>(bad).is_err(), "{bad}");
        }
        assert!(read::<u32>("0").unwrap_err().contains("from 1"));
        assert!(read::<bool>("maybe").unwrap_err().contains("true or false"));
        assert!(String::read(&Raw::List(vec![])).unwrap_err().contains("not a list"));
        assert!(<Vec<String>>::read(&Raw::List(vec![String::new()])).is_err());
        assert!(read::<LogLevel>("loud").unwrap_err().contains("trace"));
    }
}
