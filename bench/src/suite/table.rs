//! The results as a table in Markdown.

use std::fmt::Write;

use clap::ValueEnum;

use super::results::{Line, Summary, cost, summary};
use super::{Kind, ROWS, Row, Suite};

/// The spread, as a share of the median, above which extremes are shown.
const NOTABLE_SPREAD: f64 = 0.1;
const KINDS: [Kind; 7] = [
    Kind::Floor,
    Kind::Tool,
    Kind::Socketioxide,
    Kind::Node,
    Kind::Python,
    Kind::Kombu,
    Kind::Sio,
];

/// Writes a table for each suite that has results: medians, extremes where they differ notably, ratios to the floor; for what passes a broker
/// the processor time per event, and the highest memory of the server.
pub fn table(lines: &[Line]) -> String {
    let tables = Suite::value_variants()
        .iter()
        .filter_map(|&suite| table_of(suite, lines));
    tables.collect::<Vec<_>>().join("\n")
}

fn table_of(suite: Suite, lines: &[Line]) -> Option<String> {
    let has_results = |row: &&Row| row.suite == suite && lines.iter().any(|line| line.row == row.name);
    let rows: Vec<&Row> = ROWS.iter().filter(has_results).collect();
    let has_kind = |kind: &&Kind| {
        let is_of = |line: &Line| line.target == kind.name() && rows.iter().any(|row| row.name == line.row);
        lines.iter().any(is_of)
    };
    let kinds: Vec<Kind> = KINDS.iter().filter(has_kind).copied().collect();
    if kinds.is_empty() {
        return None;
    }
    let mut text = String::from("| |");
    for kind in &kinds {
        let _ = write!(text, " {} |", kind.name());
    }
    let _ = write!(text, "\n|---|{}\n", "---:|".repeat(kinds.len()));
    for row in rows {
        let _ = write!(text, "| {} |", row.title);
        for kind in &kinds {
            let _ = write!(text, " {} |", cell(lines, row, *kind));
        }
        text.push('\n');
    }
    Some(text)
}

fn cell(lines: &[Line], row: &Row, kind: Kind) -> String {
    let Some(found) = summary(lines, row, kind.name()) else {
        return "–".to_owned();
    };
    let mut text = format!("{} {}", number(found.median), row.figure.unit());
    if found.max - found.min > NOTABLE_SPREAD * found.median {
        let _ = write!(text, " ({}–{})", number(found.min), number(found.max));
    }
    let floor = summary(lines, row, Kind::Floor.name());
    if let Some(floor) = floor.filter(|floor| kind != Kind::Floor && floor.median > 0.0) {
        let _ = write!(text, ", {:.2} × floor", found.median / floor.median);
    }
    text + &faults(&found) + &costs(lines, row, kind)
}

fn faults(found: &Summary) -> String {
    let counts = [
        (found.num_lost, "lost"),
        (found.num_out_of_order, "doubled or out of order"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    counts
        .map(|(count, what)| format!(", {} {what}", separated(*count)))
        .collect()
}

/// Tells what events through a broker cost, where that is looked at.
fn costs(lines: &[Line], row: &Row, kind: Kind) -> String {
    if !matches!(row.suite, Suite::Soak | Suite::Emit) {
        return String::new();
    }
    let cost = cost(lines, row, kind.name());
    let costs = [
        ("emitter", cost.emitter, "µs"),
        ("broker", cost.broker, "µs"),
        ("server", cost.server, "µs"),
        ("peak", cost.peak_mib, "MiB"),
    ];
    let known = costs
        .iter()
        .filter_map(|(what, cost, unit)| Some((what, (*cost)?, unit)));
    known
        .map(|(what, cost, unit)| format!(", {what} {} {unit}", number(cost)))
        .collect()
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
    fn a_soak_shows_what_each_process_took_and_a_table_has_rows_of_one_suite() {
        let cpu = |user| crate::process::Cpu { user, system: 0.0 };
        let soak = Line {
            row: "soak-redis".to_owned(),
            target: "sio".to_owned(),
            report: Report {
                per_second: 520_000.0,
                cpu: [("server".to_owned(), cpu(1.3)), ("broker".to_owned(), cpu(0.7))].into(),
                peak_kib: [("server".to_owned(), 11 << 10)].into(),
                num_out_of_order: 2,
                emitter: Some(crate::report::Emitted {
                    num_events: 1,
                    per_second: 1.0,
                    cpu_per_event: 1.2,
                }),
                ..Report::default()
            },
        };
        assert_eq!(
            table(&[soak]),
            "| | sio |\n|---|---:|\n| Redis, events | 520,000 /s, 2 doubled or out of order, \
             emitter 1.20 µs, broker 0.70 µs, server 1.30 µs, peak 11.0 MiB |\n"
        );
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn numbers_keep_three_digits_and_separate_thousands() {
        assert_eq!(
            ["1.23", "12.3", "123", "1,235", "1,234,568"].map(String::from),
            [1.234, 12.34, 123.4, 1234.9, 1_234_567.9].map(number)
        );
    }
}
