//! Metrics in documents: the table is that of the code, and rules and dashboard name no other metric.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use gateway::metrics::{ALL, Kind, Metric};
use integration::tools;

use super::{read, root};

const DOCUMENT: &str = "docs/observability.md";
const BEGIN: &str = "<!-- metrics: table -->\n";
const END: &str = "<!-- end of metrics -->\n";
const ALERTS: &str = "docs/observability/alerts.yml";
const BRIDGE_ALERTS: &str = "docs/observability/bridge-alerts.yml";
const DASHBOARD: &str = "docs/observability/dashboard.json";

#[test]
fn the_table_of_metrics_is_that_of_the_code() {
    let text = read(DOCUMENT);
    let (before, rest) = text.split_once(BEGIN).expect("the mark before the table");
    let (written, after) = rest.split_once(END).expect("the mark behind it");
    let table = table();
    if std::env::var_os("UPDATE").is_some() {
        let updated = format!("{before}{BEGIN}{table}{END}{after}");
        std::fs::write(root().join(DOCUMENT), updated).unwrap();
        return;
    }
    assert_eq!(
        written, table,
        "`UPDATE=1 cargo test -p integration the_table_of_metrics` rewrites it"
    );
}

fn table() -> String {
    let rows: Vec<_> = ALL.iter().map(row).collect();
    format!(
        "\n| metric | type | unit | label | meaning | alert |\n|---|---|---|---|---|---|\n{}\n\n",
        rows.join("\n")
    )
}

#[test]
fn the_table_of_metrics_of_a_bridge_is_that_of_the_code() {
    const DOCUMENT: &str = "docs/bridge.md";
    const BEGIN: &str = "<!-- metrics: bridge -->\n";
    let text = read(DOCUMENT);
    let (before, rest) = text.split_once(BEGIN).expect("the mark before the table");
    let (written, after) = rest.split_once(END).expect("the mark behind it");
    let row = |metric: &bridge::metrics::Metric| {
        let meaning = metric.help.trim_end_matches('.');
        format!("| `{}` | {} | {meaning} |\n", metric.name, metric.kind)
    };
    let rows: String = bridge::metrics::ALL.iter().map(row).collect();
    let table = format!("\n| metric | type | meaning |\n|---|---|---|\n{rows}\n");
    if std::env::var_os("UPDATE").is_some() {
        let updated = format!("{before}{BEGIN}{table}{END}{after}");
        std::fs::write(root().join(DOCUMENT), updated).unwrap();
        return;
    }
    assert_eq!(
        written, table,
        "`UPDATE=1 cargo test -p integration the_table_of_metrics` rewrites it"
    );
}

fn row(metric: &Metric) -> String {
    let unit = match metric.unit().as_str() {
        "count" => "–",
        unit => unit,
    };
    let label = metric.label().map_or("–".to_owned(), |label| format!("`{label}`"));
    let alert = metric.alert().map_or("–".to_owned(), |alert| format!("`{alert}`"));
    let (name, kind, meaning) = (
        metric.name(),
        metric.kind().as_str(),
        metric.help().trim_end_matches('.'),
    );
    format!("| `{name}` | {kind} | {unit} | {label} | {meaning} | {alert} |")
}

/// The metrics that a text names: words that begin with `sio_`, without the suffixes of histograms.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| letter != '_' && !letter.is_ascii_alphanumeric());
    words.filter(|word| word.starts_with("sio_")).map(base).collect()
}

fn base(name: &str) -> &str {
    let histograms = ALL.iter().filter(|metric| metric.kind() == Kind::Histogram);
    let mut bases = histograms.map(Metric::name);
    let is_part = |part: &str| ["_bucket", "_count", "_sum"].contains(&part);
    bases
        .find(|base| name.strip_prefix(base).is_some_and(is_part))
        .unwrap_or(name)
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_there_are() {
    let all: BTreeSet<_> = ALL.iter().map(Metric::name).collect();
    for document in [ALERTS, DASHBOARD, DOCUMENT] {
        let text = read(document);
        let named = named(&text);
        let unknown: Vec<_> = named.difference(&all).collect();
        assert!(unknown.is_empty(), "{document} names {unknown:?}");
        assert!(named.len() > 10, "{document} names {named:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    for target in targets {
        let expr = target["expr"].as_str().unwrap();
        assert!(!named(expr).is_empty(), "{expr} shows no metric of ours");
        let (open, close) = (
            expr.matches(['(', '{', '[']).count(),
            expr.matches([')', '}', ']']).count(),
        );
        assert_eq!(open, close, "{expr}");
    }
}

#[test]
fn every_alert_of_the_table_is_a_rule_over_its_metric_and_every_rule_is_explained() {
    let rules = read(ALERTS);
    let rules: Vec<_> = rules.split("      - alert: ").skip(1).collect();
    let name = |rule: &&str| rule.lines().next().unwrap().trim().to_owned();
    let rule_of = |alert: &str| rules.iter().find(|rule| name(rule) == alert);
    for metric in ALL {
        let Some(alert) = metric.alert() else { continue };
        let rule = rule_of(alert).unwrap_or_else(|| panic!("no rule {alert}"));
        assert!(
            named(rule).contains(metric.name()),
            "{alert} does not use {}",
            metric.name()
        );
    }
    let text = read(DOCUMENT);
    for rule in &rules {
        let alert = name(rule);
        assert!(
            text.contains(&format!("`{alert}`")),
            "{DOCUMENT} does not explain {alert}"
        );
        let uses = |metric: &&Metric| metric.alert() == Some(alert.as_str());
        assert!(ALL.iter().any(|metric| uses(&metric)), "no metric names {alert}");
    }
}

#[test]
fn promtool_accepts_the_rules() {
    promtool(&["check", "rules"], &root().join(ALERTS));
}

#[test]
fn rules_and_dashboard_of_a_bridge_name_only_metrics_that_there_are_and_each_rule_is_explained() {
    let all: BTreeSet<_> = bridge::metrics::ALL.iter().map(|metric| metric.name).collect();
    for document in [BRIDGE_ALERTS, "docs/observability/bridge-dashboard.json"] {
        let text = read(document);
        let unknown: Vec<_> = named(&text).difference(&all).copied().collect();
        assert!(unknown.is_empty(), "{document} names {unknown:?}");
        assert!(named(&text).len() > 8, "{document} names {:?}", named(&text));
    }
    let text = read("docs/bridge.md");
    let rules = read(BRIDGE_ALERTS);
    for rule in rules.split("      - alert: ").skip(1) {
        let alert = rule.lines().next().unwrap().trim();
        assert!(
            text.contains(&format!("`{alert}`")),
            "docs/bridge.md does not explain {alert}"
        );
    }
}

#[test]
fn alerts_of_a_bridge_fire_when_they_should_and_not_before() {
    let rules = root().join(BRIDGE_ALERTS);
    promtool(&["check", "rules"], &rules);
    let cases = include_str!("bridge_alerts.yml").replace("RULES", rules.to_str().unwrap());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, cases.as_bytes()).unwrap();
    promtool(&["test", "rules"], file.path());
}

/// Runs promtool with a file.
fn promtool(arguments: &[&str], file: &Path) {
    let done = Command::new(tools::promtool())
        .args(arguments)
        .arg(file)
        .output()
        .expect("promtool, of Debian's package prometheus");
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
}
