//! Tests that documents name exist.

use std::path::{Path, PathBuf};

use super::{read, root};

/// Documents that say which test shows what: names in backquotes, shortened with `…`, after a path with `::`.
const DOCUMENTS: [&str; 2] = ["docs/brokers.md", "integration/tests/faults/mod.rs"];
/// The folders of these tests.
const SOURCES: [&str; 2] = ["integration/tests", "manager-testkit/src"];

#[test]
fn tests_that_documents_name_exist() {
    let root = root();
    let mut sources = Vec::new();
    for folder in SOURCES {
        collect(&root.join(folder), &mut sources);
    }
    for document in DOCUMENTS {
        let text = read(document);
        let names: Vec<_> = text.lines().flat_map(names_in).collect();
        assert!(names.len() > 10, "{document} names {names:?}");
        for name in names {
            let mut functions = sources.iter().flat_map(|source| &source.functions);
            let exists = functions.any(|function| function.starts_with(&name));
            assert!(exists, "{document} names a test {name}, which is not there");
        }
    }
}

/// Documents with tables whose last column is `shown by` and names tests by their whole names, and the number of these
/// tables.
const TABLES: [(&str, usize); 4] = [
    ("ARCHITECTURE.md", 1),
    ("docs/guide.md", 1),
    ("docs/defects.md", 4),
    ("docs/bridge.md", 2),
];
/// The folders of these tests.
const SUITES: &[&str] = &[
    "integration/tests",
    "socket-io/tests",
    "engine-io/tests",
    "socket-io/src",
    "engine-io/src",
    "manager-api/src",
    "hub/src",
    "msgpack/src",
    "manager-testkit/src",
    "manager-testkit/tests",
    "manager-redis/src",
    "manager-amqp/src",
    "manager-kafka/src",
    "embedded-broker/src",
    "emitter-cli/tests",
    "emitter-cli/src",
    "gateway/src",
    "bridge/src",
    "examples/src",
];

#[test]
fn every_row_of_a_table_names_tests_that_exist() {
    let root = root();
    let mut sources = Vec::new();
    for folder in SUITES {
        collect(&root.join(folder), &mut sources);
    }
    for (document, num_tables) in TABLES {
        let text = read(document);
        let tables = tables_of_tests(&text);
        assert_eq!(tables.len(), num_tables, "tables of tests in {document}");
        for row in tables.into_iter().flatten() {
            let tests: Vec<_> = last_cell(row).split('`').skip(1).step_by(2).collect();
            assert!(!tests.is_empty(), "{document}: nothing shows {row}");
            for test in tests {
                assert!(
                    is_there(&root, test, &sources),
                    "{document} names {test}, which is not there"
                );
            }
        }
    }
}

/// The document with the table of features and wires.
const MATRIX: &str = "docs/node.md";

#[test]
fn every_cell_of_the_matrix_names_tests_that_exist() {
    let root = root();
    let mut sources = Vec::new();
    collect(&root.join("integration/tests/node"), &mut sources);
    let text = read(MATRIX);
    let lines = text.lines().skip_while(|line| !line.starts_with("| feature |"));
    let rows: Vec<_> = lines.skip(2).take_while(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let cells: Vec<_> = row.trim_matches(['|', ' ']).split(" | ").skip(1).collect();
        assert_eq!(cells.len(), 5, "{row}");
        for cell in cells {
            let tests: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
            assert!(
                !tests.is_empty() || matches!(cell, "not tested" | "–"),
                "{MATRIX}: nothing shows {row}"
            );
            for test in tests {
                assert!(
                    is_there(&root, test, &sources),
                    "{MATRIX} names {test}, which is not there"
                );
            }
        }
    }
}

#[test]
fn a_path_that_leads_nowhere_is_noticed() {
    let root = root();
    let mut sources = Vec::new();
    collect(&root.join("integration/tests"), &mut sources);
    collect(&root.join("manager-amqp/src"), &mut sources);
    for (there, test) in [
        (true, "interop::kafka::from_our_emitter::*"),
        (true, "conformance::redis::cluster::*"),
        (true, "interop::kafka::*::payloads_arrive"),
        (false, "interop::nonsense::*"),
        (false, "conformance::redis::nonsense::*"),
        (false, "nonsense::*"),
        (false, "interop::nonsense::*::payloads_arrive"),
        (false, "interop::kafka::*::nonsense"),
        (true, "refusal::tests::each_missing_right_is_named"),
        (false, "refusal::nonsense::each_missing_right_is_named"),
    ] {
        assert_eq!(is_there(&root, test, &sources), there, "{test}");
    }
}

/// The rows of each table whose last column is `shown by`.
fn tables_of_tests(text: &str) -> Vec<Vec<&str>> {
    let mut tables = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("| ") && last_cell(line) == "shown by" {
            let rows: Vec<_> = lines
                .by_ref()
                .skip(1)
                .take_while(|line| line.starts_with("| "))
                .collect();
            assert!(!rows.is_empty(), "nothing under {line}");
            tables.push(rows);
        }
    }
    tables
}

fn last_cell(row: &str) -> &str {
    row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap().trim()
}

/// Returns whether there is such a file, such a module of the integration tests (`a::b::*`), or such a function in a file that its path,
/// if it has one, leads to.
fn is_there(root: &Path, test: &str, sources: &[Source]) -> bool {
    if test.ends_with(".rs") {
        return root.join(test).exists();
    }
    let (path, name) = test.rsplit_once("::").unwrap_or(("", test));
    // A `*` within a path stands for modules that a macro makes.
    let parts: Vec<_> = path
        .split("::")
        .filter(|part| !part.is_empty() && *part != "*")
        .collect();
    if name == "*" {
        return is_module(&root.join("integration/tests"), &parts);
    }
    let mut holders = sources
        .iter()
        .filter(|source| source.functions.iter().any(|function| function == name));
    holders.any(|holder| parts.iter().all(|part| has_part(&holder.path, part)))
}

/// Returns whether each part is a folder or a file in the one before, or a module that a macro makes there.
fn is_module(root: &Path, parts: &[&str]) -> bool {
    let mut folder = root.to_owned();
    let mut text = String::new();
    for part in parts {
        folder.push(part);
        let file = if folder.is_dir() {
            folder.join("mod.rs")
        } else {
            folder.with_extension("rs")
        };
        match std::fs::read_to_string(file) {
            Ok(its) => text = its,
            Err(_) if makes_module(&text, part) => {}
            Err(_) => return false,
        }
    }
    !parts.is_empty()
}

/// Returns whether a part of a path is a folder above a file, the file itself, a module within it, or one that a macro makes in it or in a
/// `mod.rs` above.
fn has_part(file: &Path, part: &str) -> bool {
    if file
        .with_extension("")
        .components()
        .any(|component| component.as_os_str() == part)
    {
        return true;
    }
    let makers = file.ancestors().skip(1).map(|folder| folder.join("mod.rs"));
    let mut texts = makers
        .chain([file.to_owned()])
        .filter_map(|maker| std::fs::read_to_string(maker).ok());
    texts.any(|text| makes_module(&text, part)) || has_module(file, part)
}

/// Returns whether a file has a module of that name within it, as most unit tests are.
fn has_module(file: &Path, name: &str) -> bool {
    let text = std::fs::read_to_string(file).unwrap();
    let opening = format!("mod {name} {{");
    text.lines().any(|line| line.trim() == opening)
}

/// Returns whether a text has the name where macros take names of modules: `Type as name`, `name: Type`, `@ name, Type`.
fn makes_module(text: &str, name: &str) -> bool {
    let is_made = |line: &str| {
        let line = line.trim();
        let ends = |before: &str| line.split(before).skip(1).any(|rest| first_word(rest) == name);
        !line.starts_with("//") && (ends(" as ") || ends("(@ ") || line.starts_with(&format!("{name}: ")))
    };
    text.lines().any(is_made)
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default()
}

/// The beginnings of names in one line.
fn names_in(line: &str) -> Vec<String> {
    let quoted = line.split('`').skip(1).step_by(2);
    let shortened = quoted.filter_map(|text| text.strip_suffix('…'));
    let last = shortened.filter_map(|path| path.rsplit("::").next());
    let last = last.map(|name| name.trim_start_matches('…').to_owned());
    let is_name = |name: &String| name.contains('_') && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    last.filter(is_name).collect()
}

/// A file of tests, and the functions in it.
struct Source {
    path: PathBuf,
    functions: Vec<String>,
}

fn collect(folder: &Path, sources: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else {
            let functions = functions_of(&path);
            sources.push(Source { path, functions });
        }
    }
}

fn functions_of(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.split("fn ").nth(1)?.split(['(', '<']).next());
    // Tests that a macro makes of functions: `function as test,`
    let made = text
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',')?.split(" as ").nth(1));
    names.chain(made).map(str::to_owned).collect()
}
