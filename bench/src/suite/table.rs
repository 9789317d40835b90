//! The results as a table in Markdown.

use std::fmt::Write;

use super::results::{Line, Summary, summary};
use super::{Kind, ROWS, Row};

/// The spread, as a share of the median, above which extremes are shown.
const NOTABLE_SPREAD: f64 = 0.1;
const KINDS: [Kind; 5] = [Kind::Floor, Kind::Socketioxide, Kind::Node, Kind::Python, Kind::Sio];

/// Writes medians of all rows and targets that have results, extremes where they differ notably, and ratios to the floor.
pub fn table(lines: &[Line]) -> String {
    let has_results = |kind: &&Kind| lines.iter().any(|line| line.target == kind.name());
    let kinds: Vec<Kind> = KINDS.iter().filter(has_results).copied().collect();
    let mut text = String::from("| |");
    for kind in &kinds {
        let _ = write!(text, " {} |", kind.name());
    }
    let _ = write!(text, "\n|---|{}\n", "---:|".repeat(kinds.len()));
    for row in ROWS.iter().filter(|row| lines.iter().any(|line| line.row == row.name)) {
        let floor = summary(lines, row, Kind::Floor.name());
        let _ = write!(text, "| {} |", row.title);
        for kind in &kinds {
            let _ = write!(text, " {} |", cell(row, *kind, summary(lines, row, kind.name()), floor));
        }
        text.push('\n');
    }
    text
}

fn cell(row: &Row, kind: Kind, summary: Option<Summary>, floor: Option<Summary>) -> String {
    let Some(summary) = summary else {
        return "–".to_owned();
    };
    let mut text = format!("{} {}", number(summary.median), row.figure.unit());
    if summary.max - summary.min > NOTABLE_SPREAD * summary.median {
        let _ = write!(text, " ({}–{})", number(summary.min), number(summary.max));
    }
    if let Some(floor) = floor.filter(|floor| kind != Kind::Floor && floor.median > 0.0) {
        let _ = write!(text, ", {:.2} × floor", summary.median / floor.median);
    }
    if summary.num_lost > 0 {
        let _ = write!(text, ", {} lost", separated(summary.num_lost));
    }
    text
}

/// Writes three significant digits, and separates thousands.
fn number(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => separated(value.round() as u64),
    }
}

fn separated(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;

    #[test]
    fn a_table_has_medians_ratios_and_losses() {
        let line = |row: &str, target: &str, cpu: f64, num_lost| {
            let cpu = crate::process::Cpu { user: cpu, system: 0.0 };
            Line {
                row: row.to_owned(),
                target: target.to_owned(),
                report: Report {
                    cpu: [("server".to_owned(), cpu)].into(),
                    num_lost,
                    ..Report::default()
                },
            }
        };
        let lines = [
            line("echo", "floor", 8.0, 0),
            line("echo", "sio", 10.0, 0),
            line("echo", "node", 1234.0, 5),
        ];
        let text = table(&lines);
        assert!(text.starts_with("| | floor | node | sio |\n"), "{text}");
        assert!(
            text.contains("| 8.00 µs | 1,234 µs, 154.25 × floor, 5 lost | 10.0 µs, 1.25 × floor |"),
            "{text}"
        );
    }

    #[test]
    fn numbers_keep_three_digits_and_separate_thousands() {
        assert_eq!(
            ["1.23", "12.3", "123", "1,235", "1,234,568"].map(String::from),
            [1.234, 12.34, 123.4, 1234.9, 1_234_567.9].map(number)
        );
    }
}
