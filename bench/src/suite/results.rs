//! Results of runs: one line of JSON each, appended to a file.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::report::Report;

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// The name of its row.
    pub row: String,
    /// The name of its target.
    pub target: String,
    /// Its report.
    pub report: Report,
}

/// The file of all runs; remove it to begin anew.
#[derive(Clone, Debug)]
pub struct Results(pub PathBuf);

impl Results {
    /// Adds one run.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn append(&self, line: &Line) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0)?;
        writeln!(file, "{}", serde_json::to_string(line)?)?;
        Ok(())
    }

    /// Reads all runs; none where the file does not exist.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or a line is not one of these.
    pub fn read(&self) -> Result<Vec<Line>> {
        let text = match fs::read_to_string(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let line = |(number, line)| serde_json::from_str(line).with_context(|| format!("line {}", number + 1));
        text.lines().enumerate().map(line).collect()
    }
}
