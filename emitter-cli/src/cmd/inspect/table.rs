//! Text in columns, and times for people.

use std::time::Duration;

use crate::output;

/// The characters of a cell that are shown: what servers report may be of any length.
const MAX_CELL: usize = 200;

/// Lays rows out in columns under a header; numbers are aligned to the right, and long cells cut.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| shown(cell))).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    line(&mut text, &header.map(str::to_owned), &widths);
    for row in &rows {
        line(&mut text, row, &widths);
    }
    text
}

fn line<const N: usize>(text: &mut String, cells: &[String; N], widths: &[usize; N]) {
    let start = text.len();
    for (cell, width) in cells.iter().zip(widths) {
        let is_number = !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
        let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
        match is_number {
            true => text.extend([&padding, cell.as_str(), "  "]),
            false => text.extend([cell.as_str(), &padding, "  "]),
        }
    }
    let end = text[start..].trim_end().len();
    text.truncate(start + end);
    text.push('\n');
}

/// Returns a cell without what a terminal would act on, and cut.
fn shown(cell: &str) -> String {
    let start: String = cell.chars().take(MAX_CELL).collect();
    let mut shown = output::printable(&start);
    if start.len() < cell.len() {
        shown.push('…');
    }
    shown
}

/// A time in its two largest units: `45s`, `3m 5s`, `2h 0m`, `4d 3h`.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_two_largest_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (3_599, "59m 59s"),
            (3_600, "1h 0m"),
            (86_399, "23h 59m"),
            (270_000, "3d 3h"),
        ] {
            assert_eq!(time(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_cell_of_any_length_is_cut() {
        let text = table(["HOST"], &[["é".repeat(100_000)], ["short".to_owned()]]);
        assert_eq!(text, format!("HOST\n{}…\nshort\n", "é".repeat(MAX_CELL)));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_move_no_cursor() {
        let rows = [["a\u{1b}b", "7"], ["long name", "1234"]].map(|row| row.map(str::to_owned));
        let text = table(["ROOM", "CLIENTS"], &rows);
        assert_eq!(text, "ROOM       CLIENTS\na\\u{1b}b         7\nlong name     1234\n");
    }
}
