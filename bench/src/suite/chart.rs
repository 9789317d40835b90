//! The headlines of the figures as a chart: a bar for each target and row.

use std::fmt::Write;

use super::figures::Figures;
use super::table::{HEADLINES, number};
use super::{Kind, ROWS, Row};

const LABEL_WIDTH: f64 = 430.0;
const BAR_WIDTH: f64 = 330.0;
const VALUE_WIDTH: f64 = 120.0;
const BAR_HEIGHT: f64 = 14.0;
const ROW_GAP: f64 = 14.0;
const TOP: f64 = 44.0;
const KINDS: [(Kind, &str); 7] = [
    (Kind::Floor, "#9aa5b1"),
    (Kind::Sio, "#d9480f"),
    (Kind::Socketioxide, "#4c6ef5"),
    (Kind::Node, "#2f9e44"),
    (Kind::Python, "#e6b800"),
    (Kind::Kombu, "#c99700"),
    (Kind::Tool, "#495057"),
];

/// Draws an SVG. The longest bar of a row is as wide as the chart, so that bars compare within a row only.
pub fn chart(figures: &Figures) -> String {
    let mut body = String::new();
    let mut y = TOP;
    for row in ROWS.iter().filter(|row| HEADLINES.contains(&row.name)) {
        let bars: Vec<_> = KINDS
            .iter()
            .filter_map(|&(kind, color)| Some((kind, color, figures.get(row, kind)?.median)))
            .collect();
        let longest = bars.iter().map(|bar| bar.2).fold(0.0, f64::max);
        if longest <= 0.0 {
            continue;
        }
        label(&mut body, row, y + bars.len() as f64 * BAR_HEIGHT / 2.0);
        for (kind, color, value) in bars {
            bar(
                &mut body,
                y,
                value / longest,
                color,
                &format!("{} {} {}", number(value), row.figure.unit(), kind.name()),
            );
            y += BAR_HEIGHT;
        }
        y += ROW_GAP;
    }
    let width = LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {y}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"24\" font-size=\"15\" fill=\"#212529\">Medians of alternating runs. Shorter is better, except for rates.</text>"
    );
    text.push_str(&body);
    text.push_str("</svg>\n");
    text
}

fn label(body: &mut String, row: &Row, middle: f64) {
    let direction = if row.figure.is_rate() {
        " (rate: longer is better)"
    } else {
        ""
    };
    let x = LABEL_WIDTH - 10.0;
    let y = middle + 4.0;
    let title = row.title;
    let _ = writeln!(
        body,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\" fill=\"#212529\">{title}{direction}</text>"
    );
}

fn bar(body: &mut String, y: f64, share: f64, color: &str, value: &str) {
    let width = (share * BAR_WIDTH).max(1.0);
    let height = BAR_HEIGHT - 2.0;
    let (text_x, text_y) = (LABEL_WIDTH + width + 6.0, y + 10.0);
    let _ = writeln!(
        body,
        "<rect x=\"{LABEL_WIDTH}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{color}\"/>\
         <text x=\"{text_x:.1}\" y=\"{text_y}\" font-size=\"10\" fill=\"#495057\">{value}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::figures::Measured;

    #[test]
    fn a_bar_is_as_long_as_its_share_of_the_longest() {
        let measured = |target: &str, median| Measured {
            row: "idle".to_owned(),
            target: target.to_owned(),
            median,
            ..Measured::default()
        };
        let svg = chart(&Figures {
            machine: String::new(),
            figures: vec![measured("sio", 5.0), measured("socketioxide", 20.0)],
        });
        assert!(
            svg.contains("width=\"330.0\"") && svg.contains("width=\"82.5\""),
            "{svg}"
        );
        assert_eq!(svg.matches("20.0 KiB socketioxide").count(), 1);
    }
}
