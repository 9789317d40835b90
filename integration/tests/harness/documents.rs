//! The tests that documents name are there.

use std::path::Path;

/// Documents that say which test shows what: names in backquotes, shortened with `…`, after a path with `::`.
const DOCUMENTS: [&str; 2] = ["docs/brokers.md", "integration/tests/faults/mod.rs"];
/// Where these tests are.
const SOURCES: [&str; 2] = ["integration/tests", "manager-testkit/src"];

#[test]
fn tests_that_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut functions = Vec::new();
    for folder in SOURCES {
        collect_functions(&root.join(folder), &mut functions);
    }
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        let names: Vec<_> = text.lines().flat_map(names_in).collect();
        assert!(names.len() > 10, "{document} names {names:?}");
        for name in names {
            let exists = functions.iter().any(|function| function.starts_with(&name));
            assert!(exists, "{document} names a test {name}, which is not there");
        }
    }
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

fn collect_functions(folder: &Path, functions: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_functions(&path, functions);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let names = text
            .lines()
            .filter_map(|line| line.split("fn ").nth(1)?.split(['(', '<']).next());
        functions.extend(names.map(str::to_owned));
    }
}
