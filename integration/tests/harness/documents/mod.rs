//! What documents say about the repository is true: tests and items that they name exist, links lead somewhere.

mod links;
mod logs;
mod metrics;
mod recipes;
mod references;
mod tests_named;

use std::path::PathBuf;

/// Returns the folder of the repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads a document, named by its path in the repository.
fn read(document: &str) -> String {
    let path = root().join(document);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
