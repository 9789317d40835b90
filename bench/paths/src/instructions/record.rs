//! The recorded counts, which new ones are compared with.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::HotPath;

/// The highest increase over the recorded count, in per cent.
pub(super) const MAX_PERCENT: u64 = 3;

/// Instructions of one operation of each path, with one toolchain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Compiler and target.
    pub toolchain: String,
    /// Instructions of one operation.
    pub instructions: BTreeMap<HotPath, u64>,
}

impl Record {
    /// Makes an empty one.
    pub fn new(toolchain: String) -> Self {
        Self {
            toolchain,
            instructions: BTreeMap::new(),
        }
    }

    /// Reads a record; an empty one where the file does not exist.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn read(file: &Path) -> Result<Self> {
        match fs::read_to_string(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            text => serde_json::from_str(&text?).with_context(|| format!("{} is not a record", file.display())),
        }
    }

    /// Writes the record.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        Ok(fs::write(file, serde_json::to_string_pretty(self)? + "\n")?)
    }

    /// Returns this record with the new counts. Counts of another toolchain are dropped.
    #[must_use]
    pub fn updated(self, counted: Self) -> Self {
        let mut instructions = match self.toolchain == counted.toolchain {
            true => self.instructions,
            false => BTreeMap::new(),
        };
        instructions.extend(counted.instructions);
        Self {
            toolchain: counted.toolchain,
            instructions,
        }
    }

    /// Names the paths that cost over 3 per cent more than is recorded.
    ///
    /// # Errors
    ///
    /// If one is not recorded.
    pub fn slower(&self, counted: &Self) -> Result<Vec<&'static str>> {
        let mut slower = Vec::new();
        for (path, &count) in &counted.instructions {
            let before = self.instructions.get(path);
            let before = *before.with_context(|| format!("{} is not recorded (bench/check --record)", path.name()))?;
            if count * 100 > before * (100 + MAX_PERCENT) {
                slower.push(path.name());
            }
        }
        Ok(slower)
    }
}

/// A count beside the recorded one.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// The path.
    pub path: HotPath,
    /// The recorded count.
    pub before: Option<u64>,
    /// The new count.
    pub count: u64,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:14} {:>12} instructions", self.path.name(), self.count)?;
        match self.before {
            Some(before) if before > 0 => {
                let percent = (self.count as f64 / before as f64 - 1.0) * 100.0;
                write!(f, ", recorded {before:>12} ({percent:+.2} %)")
            }
            _ => f.write_str(", not recorded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(toolchain: &str, counts: &[(HotPath, u64)]) -> Record {
        Record {
            toolchain: toolchain.to_owned(),
            instructions: counts.iter().copied().collect(),
        }
    }

    #[test]
    fn over_three_per_cent_more_is_slower_and_up_to_that_is_not() {
        let recorded = record("a", &[(HotPath::WireDecode, 1_000), (HotPath::EventAck, 1_000)]);
        let slower = |decode, event| {
            let counted = record("a", &[(HotPath::WireDecode, decode), (HotPath::EventAck, event)]);
            recorded.slower(&counted).expect("both are recorded")
        };
        assert_eq!(slower(1_030, 500), [""; 0]);
        assert_eq!(slower(1_031, 1_000), ["wire-decode"]);
        assert_eq!(slower(2_000, 1_100), ["wire-decode", "event-ack"]);
    }

    #[test]
    fn a_path_that_is_not_recorded_is_an_error_and_no_pass() {
        let counted = record("a", &[(HotPath::WireDecode, 1)]);
        assert!(record("a", &[]).slower(&counted).is_err());
    }

    #[test]
    fn counts_of_another_toolchain_are_not_kept() {
        let recorded = record("a", &[(HotPath::WireDecode, 1), (HotPath::WireEncode, 2)]);
        let counted = |toolchain| record(toolchain, &[(HotPath::WireDecode, 5)]);
        let both = record("a", &[(HotPath::WireDecode, 5), (HotPath::WireEncode, 2)]);
        assert_eq!(recorded.clone().updated(counted("a")), both);
        assert_eq!(recorded.updated(counted("b")), counted("b"));
    }

    #[test]
    fn a_record_is_read_back_and_none_is_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("record.json");
        assert_eq!(Record::read(&file).expect("no file is fine"), Record::default());
        let written = record("a", &[(HotPath::FrameParse, 7)]);
        written.write(&file).expect("it is written");
        assert!(
            fs::read_to_string(&file)
                .expect("a file")
                .contains("\"frame-parse\": 7")
        );
        assert_eq!(Record::read(&file).expect("a record"), written);
    }
}
