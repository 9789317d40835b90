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
    /// Deliveries that came twice or out of order, over all runs.
    pub num_out_of_order: u64,
}

/// Medians of what messages through a broker cost, where they were measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// Processor time per event of the emitter, in microseconds.
    pub emitter: Option<f64>,
    /// The same of the broker.
    pub broker: Option<f64>,
    /// The same of the server.
    pub server: Option<f64>,
    /// Highest resident memory of the server, in MiB.
    pub peak_mib: Option<f64>,
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
    let runs = || reports(lines, row, target);
    let figures: Vec<f64> = runs().filter_map(|report| row.figure.of(report)).collect();
    Some(Summary {
        min: figures.iter().copied().reduce(f64::min)?,
        max: figures.iter().copied().reduce(f64::max)?,
        median: median(figures)?,
        num_lost: runs().map(|report| report.num_lost).sum(),
        num_out_of_order: runs().map(|report| report.num_out_of_order).sum(),
    })
}

/// Returns the medians of what the runs of `target` cost.
pub(super) fn cost(lines: &[Line], row: &Row, target: &str) -> Cost {
    let of = |figure: fn(&Report) -> Option<f64>| median(reports(lines, row, target).filter_map(figure).collect());
    Cost {
        emitter: of(|report| report.emitter.map(|emitter| emitter.cpu_per_event)),
        broker: of(|report| report.cpu.get("broker").map(|cpu| cpu.total())),
        server: of(Report::server_cpu),
        peak_mib: of(|report| report.peak_kib.get("server").map(|&kib| kib as f64 / 1024.0)),
    }
}

fn reports<'a>(lines: &'a [Line], row: &'a Row, target: &'a str) -> impl Iterator<Item = &'a Report> {
    let runs = lines
        .iter()
        .filter(move |line| line.row == row.name && line.target == target);
    runs.map(|line| &line.report)
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len().is_multiple_of(2) {
        true => Some((figures.get(middle.checked_sub(1)?)? + figures.get(middle)?) / 2.0),
        false => figures.get(middle).copied(),
    }
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
                num_out_of_order: 2,
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
            num_out_of_order: 6,
        };
        assert_eq!(summary(&lines, row, "sio"), Some(expected));
        assert_eq!(summary(&lines, row, "floor"), None);
        let even = summary(&lines[..2], row, "sio").expect("two runs");
        assert_eq!(even.median, 2.0);
    }
}
