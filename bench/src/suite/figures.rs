//! Figures: medians and extremes of all runs of a row and a target, as they are published in `docs/figures.json`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::results::Line;
use super::{Kind, ROWS, Row};
use crate::report::Report;

/// The figures of every row and target, in the order of the tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The machine that measured last: cores and kernel.
    pub machine: String,
    /// One entry for each row and target.
    pub figures: Vec<Measured>,
}

/// The figure of one row for one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The name of the row.
    pub row: String,
    /// The name of the target.
    pub target: String,
    /// Number of runs.
    pub num_runs: usize,
    /// The median of the row's figure over all runs.
    pub median: f64,
    /// The lowest and the highest run, where they were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extremes: Option<(f64, f64)>,
    /// The share of expected operations that was lost, over all runs.
    #[serde(default)]
    pub lost_share: f64,
    /// Deliveries that came twice or out of order, over all runs.
    #[serde(default)]
    pub num_out_of_order: u64,
    /// The cost of messages through a broker, in suites that measure it.
    #[serde(flatten)]
    pub cost: Cost,
}

/// Median costs of messages through a broker, if they were measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Processor time per event of the emitter, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emitter: Option<f64>,
    /// The same of the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<f64>,
    /// The same of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<f64>,
    /// Highest resident memory of the server, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_mib: Option<f64>,
}

impl Figures {
    /// Summarizes runs of this machine.
    pub fn of(lines: &[Line]) -> Self {
        let kinds = |row: &'static Row| row.targets.iter().filter_map(|kind| measured(lines, row, *kind));
        Self {
            machine: machine(),
            figures: ROWS.iter().flat_map(kinds).collect(),
        }
    }

    /// Reads a file of figures.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or does not hold figures.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Writes the figures as JSON, an entry in each line.
    pub fn to_json(&self) -> String {
        let entry = |each| format!("    {}", serde_json::to_string(each).expect("figures are JSON"));
        let entries: Vec<_> = self.figures.iter().map(entry).collect();
        let machine = serde_json::Value::from(&*self.machine);
        format!(
            "{{\n  \"machine\": {machine},\n  \"figures\": [\n{}\n  ]\n}}\n",
            entries.join(",\n")
        )
    }

    /// Replaces the rows that `newer` has, and keeps the others.
    #[must_use]
    pub fn updated(self, newer: Self) -> Self {
        let is_in_newer = |each: &Measured| newer.figures.iter().any(|other| other.row == each.row);
        let mut figures: Vec<_> = self.figures.into_iter().filter(|each| !is_in_newer(each)).collect();
        figures.extend(newer.figures.iter().cloned());
        figures.sort_by_key(|each| ROWS.iter().position(|row| row.name == each.row));
        Self {
            machine: if newer.figures.is_empty() {
                self.machine
            } else {
                newer.machine
            },
            figures,
        }
    }

    /// Returns the figure of a row for a target, if it was measured.
    pub fn get(&self, row: &Row, kind: Kind) -> Option<&Measured> {
        let mut figures = self.figures.iter();
        figures.find(|each| each.row == row.name && each.target == kind.name())
    }
}

fn measured(lines: &[Line], row: &Row, kind: Kind) -> Option<Measured> {
    let runs = lines
        .iter()
        .filter(|line| line.row == row.name && line.target == kind.name());
    let reports: Vec<&Report> = runs.map(|line| &line.report).collect();
    let of = |figure: &dyn Fn(&Report) -> Option<f64>| -> Vec<f64> {
        reports.iter().filter_map(|report| figure(report)).collect()
    };
    let figures = of(&|report| row.figure.of(report));
    let num_lost: u64 = reports.iter().map(|report| report.num_lost).sum();
    let num_operations: u64 = reports.iter().map(|report| report.num_operations).sum();
    Some(Measured {
        row: row.name.to_owned(),
        target: kind.name().to_owned(),
        num_runs: figures.len(),
        extremes: Some((
            rounded(figures.iter().copied().reduce(f64::min)?),
            rounded(figures.iter().copied().reduce(f64::max)?),
        )),
        median: median(figures)?,
        lost_share: rounded(num_lost as f64 / (num_lost + num_operations).max(1) as f64),
        num_out_of_order: reports.iter().map(|report| report.num_out_of_order).sum(),
        cost: if row.broker.is_none() {
            Cost::default()
        } else {
            Cost {
                emitter: median(of(&|report| report.emitter.map(|emitter| emitter.cpu_per_event))),
                broker: median(of(&|report| report.cpu.get("broker").map(|cpu| cpu.total()))),
                server: median(of(&Report::server_cpu)),
                peak_mib: median(of(&|report| {
                    report.peak_kib.get("server").map(|&kib| kib as f64 / 1024.0)
                })),
            }
        },
    })
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let median = match figures.len().is_multiple_of(2) {
        true => (figures.get(middle.checked_sub(1)?)? + figures.get(middle)?) / 2.0,
        false => *figures.get(middle)?,
    };
    Some(rounded(median))
}

/// Returns a figure to six significant digits: more are noise, and JSON's reader may change the last of seventeen.
fn rounded(figure: f64) -> f64 {
    format!("{figure:.5e}").parse().unwrap_or(figure)
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version: String = kernel.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    format!("{cores} cores, Linux {version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(row: &str, target: &str, per_second: f64, num_lost: u64) -> Line {
        Line {
            row: row.to_owned(),
            target: target.to_owned(),
            report: Report {
                num_operations: 30,
                per_second,
                num_lost,
                num_out_of_order: 2,
                ..Report::default()
            },
        }
    }

    #[test]
    fn a_figure_is_of_one_row_and_one_target() {
        let lines = [
            line("bridge-1", "sio", 3.0, 10),
            line("bridge-1", "sio", 1.0, 0),
            line("bridge-1", "sio", 2.0, 0),
            line("bridge-1", "node", 100.0, 0),
            line("bridge-100", "sio", 200.0, 0),
        ];
        let figures = Figures::of(&lines);
        let row = ROWS
            .iter()
            .find(|row| row.name == "bridge-1")
            .expect("a row with a rate");
        let sio = figures.get(row, Kind::Sio).expect("it was run");
        assert_eq!((sio.num_runs, sio.median, sio.extremes), (3, 2.0, Some((1.0, 3.0))));
        assert_eq!((sio.lost_share, sio.num_out_of_order), (0.1, 6));
        assert_eq!(figures.get(row, Kind::Python), None);
        let even = Figures::of(&lines[..2]);
        assert_eq!(even.get(row, Kind::Sio).map(|figure| figure.median), Some(2.0));
    }

    #[test]
    fn figures_are_read_as_they_were_written() {
        // serde_json reads each of these as its neighbour.
        let long = [1.240_749_280_804_620_5, 13.708_575_983_590_325, 20.504_865_921_550_298];
        let mut lines = vec![line("soak-redis", "python", 2.0, 1)];
        lines.extend(long.map(|per_second| line("bridge-1", "sio", per_second, 7)));
        let figures = Figures::of(&lines);
        let read: Figures = serde_json::from_str(&figures.to_json()).expect("it is JSON");
        assert_eq!(read, figures);
    }

    #[test]
    fn rows_that_were_run_again_replace_the_older_ones_and_no_others() {
        let older = Figures::of(&[line("soak-redis", "sio", 1.0, 0), line("bridge-1", "node", 1.0, 0)]);
        let newer = Figures::of(&[line("bridge-1", "sio", 2.0, 0)]);
        let updated = older.updated(newer);
        let names: Vec<_> = updated.figures.iter().map(|each| (&*each.row, &*each.target)).collect();
        assert_eq!(names, [("bridge-1", "sio"), ("soak-redis", "sio")]);
    }
}
