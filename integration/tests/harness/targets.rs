//! The targets of log lines: each crate has its own, and documents name all of them.

use std::collections::BTreeSet;
use std::path::Path;

/// The libraries; what the command logs it shows without a target.
const CRATES: [&str; 9] = [
    "engine-io",
    "hub",
    "manager-amqp",
    "manager-api",
    "manager-kafka",
    "manager-postgres",
    "manager-redis",
    "node-wire",
    "socket-io",
];

/// The macros that log lines, with and without a named target.
const MACROS: [&str; 5] = ["error!(", "warn!(", "info!(", "debug!(", "trace!("];

#[test]
fn log_lines_have_the_target_of_their_crate_and_documents_name_them_all() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut logging = BTreeSet::new();
    for name in CRATES {
        let own = name.replace('-', "_");
        let mut text = String::new();
        collect(&root.join(name).join("src"), &mut text);
        for target in text
            .split("target: \"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
        {
            assert_eq!(target, own, "a target in {name}");
        }
        let logs = MACROS.iter().any(|each| text.contains(&format!("tracing::{each}")));
        if logs {
            logging.insert(own);
        }
    }
    let read = |document: &str| std::fs::read_to_string(root.join(document)).unwrap();
    let guide = read("docs/guide.md");
    let table = guide
        .split("| target | level | what |")
        .nth(1)
        .expect("a table of targets");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let named: BTreeSet<_> = rows
        .filter_map(|row| row.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(named, logging.iter().map(String::as_str).collect(), "docs/guide.md");
    let deploy = read("docs/deploy.md");
    let line = deploy
        .split("events with the targets ")
        .nth(1)
        .and_then(|rest| rest.split(';').next())
        .expect("a list of targets");
    let named: BTreeSet<_> = line.split('`').skip(1).step_by(2).collect();
    assert_eq!(named, logging.iter().map(String::as_str).collect(), "docs/deploy.md");
}

/// Appends all sources of a folder.
fn collect(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(&path, text),
            false => text.push_str(&std::fs::read_to_string(path).unwrap()),
        }
    }
}
