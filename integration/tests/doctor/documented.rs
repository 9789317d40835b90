//! `docs/doctor.md` lists every code, with its severity.

use std::path::Path;

use manager_api::diagnosis::Code;

#[test]
fn every_code_has_a_row_with_its_severity_in_the_documentation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/doctor.md");
    let text = std::fs::read_to_string(path).unwrap();
    let table = text.lines().skip_while(|line| !line.starts_with("| code | severity |"));
    let documented: Vec<_> = table.take_while(|line| !line.is_empty()).filter_map(row).collect();
    let codes: Vec<_> = Code::ALL
        .iter()
        .map(|code| (code.name(), code.severity().name()))
        .collect();
    assert_eq!(documented, codes);
}

/// Returns code and severity of a row: ``| `code` | severity | …``.
fn row(line: &str) -> Option<(&str, &str)> {
    let (code, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
    let (severity, _) = rest.split_once(" |")?;
    Some((code, severity))
}
