//! Figures as tables in Markdown.

use std::fmt::Write;

use clap::ValueEnum;

use super::figures::{Figures, Measured};
use super::{Kind, ROWS, Row, Suite};

/// The spread, as a share of the median, above which extremes are shown.
const NOTABLE_SPREAD: f64 = 0.1;
/// The rows of the short table and of the chart.
pub(super) const HEADLINES: [&str; 8] = [
    "idle",
    "connect",
    "echo",
    "echo-8",
    "room-1000",
    "room-1000-x10",
    "room-500-paced",
    "bridge-100",
];
const KINDS: [Kind; 7] = [
    Kind::Floor,
    Kind::Tool,
    Kind::Socketioxide,
    Kind::Node,
    Kind::Python,
    Kind::Kombu,
    Kind::Sio,
];

/// Writes a table for each suite that has figures: medians, extremes where they differ notably, ratios to the floor; for suites through a
/// broker also the processor time per event, and the highest memory of the server.
pub fn table(figures: &Figures) -> String {
    let tables = Suite::value_variants()
        .iter()
        .filter_map(|suite| suites(figures, &[*suite]));
    tables.collect::<Vec<_>>().join("\n")
}

/// Writes one table of the rows of some suites.
pub(super) fn suites(figures: &Figures, suites: &[Suite]) -> Option<String> {
    let rows = ROWS.iter().filter(|row| suites.contains(&row.suite));
    table_of(figures, &rows.collect::<Vec<_>>(), |row, kind| cell(figures, row, kind))
}

/// Writes a short table: the medians of a few rows.
pub(super) fn headlines(figures: &Figures) -> Option<String> {
    let rows = ROWS.iter().filter(|row| HEADLINES.contains(&row.name));
    let cell = |row: &Row, kind| {
        let found = figures.get(row, kind)?;
        Some(format!(
            "{} {}{}",
            number(found.median),
            row.figure.unit(),
            faults(found)
        ))
    };
    table_of(figures, &rows.collect::<Vec<_>>(), cell)
}

/// Writes what it costs to observe a server: rows that were measured both ways, with their ratio.
pub(super) fn observed(figures: &Figures) -> Option<String> {
    let mut text = String::from("| | sio | observed | ratio |\n|---|---:|---:|---:|\n");
    let empty = text.len();
    for row in ROWS {
        let (Some(plain), Some(observed)) = (figures.get(row, Kind::Sio), figures.get(row, Kind::Observed)) else {
            continue;
        };
        let (unit, ratio) = (row.figure.unit(), observed.median / plain.median);
        let (plain, observed) = (number(plain.median), number(observed.median));
        let _ = writeln!(
            text,
            "| {} | {plain} {unit} | {observed} {unit} | {ratio:.3} |",
            row.title
        );
    }
    (text.len() > empty).then_some(text)
}

fn table_of(figures: &Figures, rows: &[&Row], cell: impl Fn(&Row, Kind) -> Option<String>) -> Option<String> {
    let has = |row: &Row, kind: Kind| figures.get(row, kind).is_some();
    let kinds: Vec<Kind> = KINDS
        .into_iter()
        .filter(|&kind| rows.iter().any(|row| has(row, kind)))
        .collect();
    if kinds.is_empty() {
        return None;
    }
    let mut text = String::from("| |");
    for kind in &kinds {
        let _ = write!(text, " {} |", kind.name());
    }
    let _ = write!(text, "\n|---|{}\n", "---:|".repeat(kinds.len()));
    for row in rows.iter().filter(|row| kinds.iter().any(|&kind| has(row, kind))) {
        let _ = write!(text, "| {} |", row.title);
        for &kind in &kinds {
            let _ = write!(text, " {} |", cell(row, kind).unwrap_or_else(|| "–".to_owned()));
        }
        text.push('\n');
    }
    Some(text)
}

fn cell(figures: &Figures, row: &Row, kind: Kind) -> Option<String> {
    let found = figures.get(row, kind)?;
    let mut text = format!("{} {}", number(found.median), row.figure.unit());
    if let Some((min, max)) = found
        .extremes
        .filter(|(min, max)| max - min > NOTABLE_SPREAD * found.median)
    {
        let _ = write!(text, " ({}–{})", number(min), number(max));
    }
    let floor = figures.get(row, Kind::Floor);
    if let Some(floor) = floor.filter(|floor| kind != Kind::Floor && floor.median > 0.0) {
        let _ = write!(text, ", {:.2} × floor", found.median / floor.median);
    }
    Some(text + &faults(found) + &costs(row, found))
}

fn faults(found: &Measured) -> String {
    let mut text = String::new();
    if found.lost_share > 0.0 {
        let _ = write!(text, ", {} lost", percent(found.lost_share));
    }
    if found.num_out_of_order > 0 {
        let _ = write!(text, ", {} doubled or out of order", separated(found.num_out_of_order));
    }
    text
}

/// Writes the cost of events through a broker, in the suites that measure it.
fn costs(row: &Row, found: &Measured) -> String {
    if !matches!(row.suite, Suite::Soak | Suite::Emit | Suite::Node) {
        return String::new();
    }
    let costs = [
        ("emitter", found.cost.emitter, "µs"),
        ("broker", found.cost.broker, "µs"),
        ("server", found.cost.server, "µs"),
        ("peak", found.cost.peak_mib, "MiB"),
    ];
    let known = costs
        .iter()
        .filter_map(|(what, cost, unit)| Some((what, (*cost)?, unit)));
    known
        .map(|(what, cost, unit)| format!(", {what} {} {unit}", number(cost)))
        .collect()
}

/// Writes a table with a line for each target of each row of a suite through brokers, and a column for each cost.
pub(super) fn by_broker(figures: &Figures, suite: Suite) -> Option<String> {
    let has_server = suite == Suite::Soak;
    let (head, line): (_, fn(&Measured) -> String) = match has_server {
        true => (
            "| | events/s | lost, doubled, out of order | CPU per event: emitter, broker, server | server's memory at most |\n|---|---:|---|---|---:|\n",
            soak_line,
        ),
        false => ("| | emits/s | CPU per emit |\n|---|---:|---:|\n", emit_line),
    };
    let mut text = String::new();
    for row in ROWS.iter().filter(|row| row.suite == suite) {
        for (kind, found) in row
            .targets
            .iter()
            .filter_map(|&kind| Some((kind, figures.get(row, kind)?)))
        {
            let title = if has_server {
                row.title.trim_end_matches(", events")
            } else {
                row.title
            };
            let _ = writeln!(text, "| {title}: {} | {} |", label(row, kind), line(found));
        }
    }
    (!text.is_empty()).then(|| head.to_owned() + &text)
}

fn soak_line(found: &Measured) -> String {
    let faults = faults(found);
    let faults = faults.strip_prefix(", ").unwrap_or("0");
    let costs = [found.cost.emitter, found.cost.broker, found.cost.server].map(|cost| with_unit(cost, "µs"));
    let peak = with_unit(found.cost.peak_mib, "MiB");
    format!("{} | {faults} | {} | {peak}", number(found.median), costs.join(", "))
}

fn emit_line(found: &Measured) -> String {
    format!("{} | {}", number(found.median), with_unit(found.cost.emitter, "µs"))
}

fn with_unit(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{} {unit}", number(value)))
}

/// Names a target in full.
fn label(row: &Row, kind: Kind) -> &'static str {
    match kind {
        Kind::Python if row.targets.contains(&Kind::Kombu) => "python-socketio, aio_pika",
        Kind::Python => "python-socketio",
        Kind::Kombu => "python-socketio, kombu",
        Kind::Tool => "the broker's own tool",
        kind => kind.name(),
    }
}

/// Writes three significant digits, and separates thousands.
pub(super) fn number(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => separated(value.round() as u64),
    }
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent < 0.1 => "under 0.1 %".to_owned(),
        percent if percent < 10.0 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
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
    use crate::suite::figures::Cost;

    fn figures(entries: &[(&str, &str, f64)]) -> Figures {
        let measured = |&(row, target, median): &(&str, &str, f64)| Measured {
            row: row.to_owned(),
            target: target.to_owned(),
            num_runs: 3,
            median,
            ..Measured::default()
        };
        Figures {
            machine: String::new(),
            figures: entries.iter().map(measured).collect(),
        }
    }

    #[test]
    fn a_table_has_medians_extremes_ratios_and_losses() {
        let mut figures = figures(&[("echo", "floor", 8.0), ("echo", "sio", 10.0), ("echo", "node", 1234.0)]);
        figures.figures[2].lost_share = 0.644;
        figures.figures[1].extremes = Some((9.0, 11.0));
        let text = table(&figures);
        assert!(text.starts_with("| | floor | node | sio |\n"), "{text}");
        assert!(
            text.contains("| 8.00 µs | 1,234 µs, 154.25 × floor, 64 % lost | 10.0 µs (9.00–11.0), 1.25 × floor |"),
            "{text}"
        );
        assert_eq!(table(&Figures::default()), "");
    }

    #[test]
    fn the_short_table_has_medians_of_a_few_rows() {
        let figures = figures(&[("idle", "sio", 2.5), ("storm", "sio", 100.0), ("idle", "floor", 1.7)]);
        assert_eq!(
            headlines(&figures).as_deref(),
            Some(
                "| | floor | sio |\n|---|---:|---:|\n| memory per idle WebSocket client, 10,000 of them | 1.70 KiB | 2.50 KiB |\n"
            )
        );
    }

    #[test]
    fn a_soak_shows_what_each_process_took_and_a_table_has_rows_of_one_suite() {
        let mut figures = figures(&[("soak-redis", "sio", 520_000.0), ("emit-redis", "tool", 1_048_000.0)]);
        figures.figures[0].num_out_of_order = 2;
        figures.figures[0].cost = Cost {
            emitter: Some(1.2),
            broker: Some(0.7),
            server: Some(1.3),
            peak_mib: Some(11.0),
        };
        let text = table(&figures);
        assert!(
            text.starts_with(
                "| | sio |\n|---|---:|\n| Redis, events | 520,000 /s, 2 doubled or out of order, \
                 emitter 1.20 µs, broker 0.70 µs, server 1.30 µs, peak 11.0 MiB |\n"
            ),
            "{text}"
        );
        let soaks = by_broker(&figures, Suite::Soak).expect("a soak");
        let line = "| Redis: sio | 520,000 | 2 doubled or out of order | 1.20 µs, 0.70 µs, 1.30 µs | 11.0 MiB |";
        assert!(soaks.ends_with(&format!("{line}\n")), "{soaks}");
        let emits = by_broker(&figures, Suite::Emit).expect("an emitter");
        assert!(
            emits.ends_with("| Redis, emits, 512 in flight: the broker's own tool | 1,048,000 | – |\n"),
            "{emits}"
        );
    }

    #[test]
    fn numbers_keep_three_digits_and_separate_thousands() {
        assert_eq!(
            ["1.23", "12.3", "123", "1,235", "1,234,568"].map(String::from),
            [1.234, 12.34, 123.4, 1234.9, 1_234_567.9].map(number)
        );
        assert_eq!(
            ["under 0.1 %", "0.5 %", "64 %"].map(String::from),
            [0.000_01, 0.005, 0.64].map(percent)
        );
    }
}
