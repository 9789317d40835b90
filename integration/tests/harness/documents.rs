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

/// Documents whose last section is a table of features and of the tests that show them, by their whole names.
const TABLES: [&str; 1] = ["docs/guide.md"];
/// Where these tests are.
const SUITES: [&str; 4] = [
    "integration/tests",
    "socket-io/tests",
    "engine-io/tests",
    "manager-api/src",
];

#[test]
fn every_row_of_a_table_of_features_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut functions = Vec::new();
    for folder in SUITES {
        collect_functions(&root.join(folder), &mut functions);
    }
    for document in TABLES {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        let (_, section) = text.rsplit_once("\n## ").unwrap();
        let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        assert!(rows.len() > 10, "{document}: {rows:?}");
        for row in rows {
            let shown_by = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
            let tests: Vec<_> = shown_by.split('`').skip(1).step_by(2).collect();
            assert!(!tests.is_empty(), "{document}: nothing shows {row}");
            for test in tests {
                assert!(
                    is_there(&root, test, &functions),
                    "{document} names {test}, which is not there"
                );
            }
        }
    }
}

/// Tells whether there is such a file, such a module of the integration tests, or such a function, whatever its path.
fn is_there(root: &Path, test: &str, functions: &[String]) -> bool {
    if test.ends_with(".rs") {
        return root.join(test).exists();
    }
    let (path, name) = test.rsplit_once("::").unwrap_or(("", test));
    match name {
        "*" => {
            let module = path.split("::").next().unwrap_or_default();
            let file = root.join("integration/tests").join(module);
            file.is_dir() || file.with_extension("rs").exists()
        }
        _ => functions.iter().any(|function| function == name),
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
        // Tests that a macro makes of functions: `function as test,`
        let made = text
            .lines()
            .filter_map(|line| line.trim().strip_suffix(',')?.split(" as ").nth(1));
        functions.extend(made.map(str::to_owned));
    }
}
