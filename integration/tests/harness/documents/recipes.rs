//! The recipes of `docs/workers.md` are files that tests run.

use std::collections::BTreeSet;
use std::fs;

use super::{read, root};

const DOCUMENT: &str = "docs/workers.md";
/// The folder of the files, and one elsewhere that the workspace compiles.
const FOLDER: &str = "examples/workers";
const PROGRAM: &str = "examples/src/bin/apalis_worker.rs";

/// Each block of the section behind a link to a file, and the file.
fn blocks(text: &str) -> Vec<(String, String)> {
    let (_, section) = text.split_once("\n## Recipes\n").expect("it has recipes");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut parts = section.split("\n```");
    let mut before = parts.next().unwrap_or_default();
    let mut blocks = Vec::new();
    while let (Some(block), Some(after)) = (parts.next(), parts.next()) {
        let file = before.trim_end().rsplit_once("](../").map(|(_, link)| link);
        let file = file.and_then(|link| link.split_once(')'));
        let (file, rest) = file.unwrap_or_else(|| panic!("no file is named before the block {block}"));
        assert_eq!(rest, ":", "between {file} and its block");
        let (_, code) = block.split_once('\n').expect("a block has lines");
        blocks.push((file.to_owned(), format!("{code}\n")));
        before = after;
    }
    blocks
}

#[test]
fn every_recipe_is_the_file_that_stands_above_it() {
    let mut text = read(DOCUMENT);
    if std::env::var_os("UPDATE").is_some() {
        for (file, code) in blocks(&text) {
            let begin = format!("](../{file}):\n\n```");
            let at = text.find(&begin).expect("it is there") + begin.len();
            let at = at + text[at..].find('\n').expect("a block has lines") + 1;
            text.replace_range(at..at + code.len(), &read(&file));
        }
        fs::write(root().join(DOCUMENT), &text).unwrap();
    }
    let mut shown = BTreeSet::new();
    for (file, code) in blocks(&text) {
        assert_eq!(read(&file), code, "{DOCUMENT} shows another {file}; UPDATE=1 copies it");
        shown.insert(file);
    }
    let folders = fs::read_dir(root().join(FOLDER)).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut there: BTreeSet<_> = files
        .map(|entry| {
            let path = entry.unwrap().path();
            path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    there.insert(PROGRAM.to_owned());
    assert_eq!(shown, there, "shown in {DOCUMENT}, and there");
}

/// Of a file without a test the recipe would show nothing.
#[test]
fn every_file_of_a_recipe_is_run_by_a_test() {
    let tests = fs::read_dir(root().join("integration/tests/workers")).unwrap();
    let tests: String = tests
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    for (file, _) in blocks(&read(DOCUMENT)) {
        let name = file.strip_prefix("examples/workers/").unwrap_or("apalis_worker");
        assert!(tests.contains(&format!("\"{name}\"")), "no test runs {file}");
    }
}
