//! Results of runs: one line of JSON each, appended to a file.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Row;
use crate::report::Report;

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// The name of its row.
    pub row: String,
    /// The name of its target.
    pub target: String,
    /// What it found.
    pub report: Report,
}

/// The file of all runs; remove it to begin anew.
#[derive(Clone, Debug)]
pub struct Results(pub PathBuf);

/// Median and extremes of a figure over several runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Summary {
    /// Half of the runs were below.
    pub median: f64,
    /// The lowest run.
    pub min: f64,
    /// The highest run.
    pub max: f64,
    /// Operations that were lost, over all runs.
    pub num_lost: u64,
}

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

/// Summarizes the figure of `row` over the runs of `target`; `None` without any.
pub(super) fn summary(lines: &[Line], row: &Row, target: &str) -> Option<Summary> {
    let runs = || {
        lines
            .iter()
            .filter(|line| line.row == row.name && line.target == target)
    };
    let mut figures: Vec<f64> = runs().filter_map(|line| row.figure.of(&line.report)).collect();
    figures.sort_by(f64::total_cmp);
    let (middle, is_even) = (figures.len() / 2, figures.len().is_multiple_of(2));
    let median = match is_even {
        true => (figures.get(middle.checked_sub(1)?)? + figures[middle]) / 2.0,
        false => figures[middle],
    };
    Some(Summary {
        median,
        min: *figures.first()?,
        max: *figures.last()?,
        num_lost: runs().map(|line| line.report.num_lost).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::ROWS;

    #[test]
    fn a_summary_is_of_one_row_and_one_target() {
        let row = ROWS
            .iter()
            .find(|row| row.name == "bridge-1")
            .expect("a row with a rate");
        let line = |row: &str, target: &str, per_second| Line {
            row: row.to_owned(),
            target: target.to_owned(),
            report: Report {
                per_second,
                num_lost: 1,
                ..Report::default()
            },
        };
        let lines = [
            line("bridge-1", "sio", 3.0),
            line("bridge-1", "sio", 1.0),
            line("bridge-1", "sio", 2.0),
            line("bridge-1", "node", 100.0),
            line("bridge-100", "sio", 200.0),
        ];
        let expected = Summary {
            median: 2.0,
            min: 1.0,
            max: 3.0,
            num_lost: 3,
        };
        assert_eq!(summary(&lines, row, "sio"), Some(expected));
        assert_eq!(summary(&lines, row, "floor"), None);
        let even = summary(&lines[..2], row, "sio").expect("two runs");
        assert_eq!(even.median, 2.0);
    }
}
