//! Lines of the log about a client name it by its id and its namespace, as `docs/observability.md` says.

use std::path::Path;

use super::root;

/// The crates whose lines may be about a client in a namespace.
const SOURCES: [&str; 4] = ["socket-io/src", "hub/src", "gateway/src", "emitter-cli/src"];

#[test]
fn every_line_about_a_client_has_its_id_and_its_namespace() {
    let mut num_lines = 0;
    for folder in SOURCES {
        each_source(&root().join(folder), &mut |path, text| {
            for line in logged(text).filter(|line| has_field(line, "sid")) {
                num_lines += 1;
                assert!(has_field(line, "namespace"), "{}: {line}", path.display());
            }
        });
    }
    assert!(num_lines > 10, "{num_lines} lines are about a client");
}

#[test]
fn a_line_without_a_namespace_is_noticed() {
    let text = "tracing::info!(%sid, \"a\"); tracing::debug!(\n    sid = %client.sid,\n    namespace,\n    \"sid\"\n)";
    let lines: Vec<_> = logged(text).collect();
    assert_eq!(lines.len(), 2);
    assert!(has_field(lines[0], "sid") && !has_field(lines[0], "namespace"));
    assert!(has_field(lines[1], "sid") && has_field(lines[1], "namespace"));
}

/// The fields and the text of each line that a source logs.
fn logged(text: &str) -> impl Iterator<Item = &str> {
    let levels = ["trace!(", "debug!(", "info!(", "warn!(", "error!("];
    let calls = text.split("tracing::").skip(1);
    calls.filter_map(move |call| {
        let fields = levels.iter().find_map(|level| call.strip_prefix(level))?;
        // Up to the text of the line, which is its first or second literal, or its end.
        fields.split(");").next()
    })
}

/// Tells whether a line has a field, in any form: `name`, `%name`, `?name`, `name = …`.
fn has_field(line: &str, name: &str) -> bool {
    line.split(',').any(|field| {
        let field = field.trim().trim_start_matches(['%', '?']);
        field == name
            || field
                .strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
    })
}

fn each_source(folder: &Path, see: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_source(&path, see);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            see(&path, &std::fs::read_to_string(&path).unwrap());
        }
    }
}
