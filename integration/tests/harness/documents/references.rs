//! References to code in `ARCHITECTURE.md`: the item stands in the line that the document names.
//!
//! A reference is a link to one line or a range, followed by the beginning of an item:
//! ``[`path.rs:12`](path.rs#L12) `fn name(` ``. A range ends where the item ends. `UPDATE=1` rewrites the numbers.

use std::collections::BTreeSet;

use super::{read, root};

const DOCUMENT: &str = "ARCHITECTURE.md";
/// The sections that are walks through the code, each with the most files that it may lead through.
const WALKS: [(&str, usize); 2] = [
    ("## From an emit to the broker", 14),
    ("## From the broker to a frame", 14),
];
/// The section that is read in ten minutes, and the most lines that it may ask for.
const TEN_MINUTES: (&str, usize) = ("## Ten minutes through the code", 1_200);

#[test]
fn every_line_that_the_architecture_names_holds_the_item() {
    let text = read(DOCUMENT);
    let found = references(&text);
    assert!(found.len() > 60, "{DOCUMENT} has {} references", found.len());
    let num_links = text.matches(".rs#L").count();
    assert_eq!(
        found.len(),
        num_links,
        "a link to lines in {DOCUMENT} names no item, or another file"
    );
    let mut updated = text.clone();
    for reference in &found {
        let right = reference
            .resolve()
            .unwrap_or_else(|wrong| panic!("{DOCUMENT}: {wrong}"));
        updated = updated.replacen(&reference.written, &right, 1);
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(root().join(DOCUMENT), &updated).unwrap();
        return;
    }
    for (written, right) in text.lines().zip(updated.lines()) {
        assert_eq!(
            written, right,
            "lines have moved; `UPDATE=1 cargo test -p integration architecture` rewrites them"
        );
    }
}

#[test]
fn each_walk_of_the_architecture_leads_through_few_files() {
    let text = read(DOCUMENT);
    for (heading, max) in WALKS {
        let found = references(section(&text, heading));
        let files: BTreeSet<_> = found.iter().map(|reference| &reference.path).collect();
        assert!(
            files.len() >= 10,
            "{heading} has {} files: is it the whole way?",
            files.len()
        );
        assert!(
            files.len() <= max,
            "{heading} leads through {} files: {files:?}",
            files.len()
        );
    }
}

#[test]
fn ten_minutes_through_the_code_are_ten_minutes() {
    let text = read(DOCUMENT);
    let (heading, max) = TEN_MINUTES;
    let found = references(section(&text, heading));
    let num_lines: usize = found.iter().map(|reference| reference.num_lines()).sum();
    assert!(
        num_lines > max / 2,
        "{heading} asks for {num_lines} lines: is it the whole way?"
    );
    assert!(num_lines <= max, "{heading} asks for {num_lines} lines, over {max}");
}

#[test]
fn a_reference_to_an_item_that_moved_changed_its_length_or_is_gone_is_noticed() {
    let source = "//! A file.\n\nfn first() {\n}\n\npub fn second(\n    x: u8,\n) -> u8 {\n    x\n}\n";
    let range = |item: &str| range_of(source, item);
    assert_eq!(range("fn first()"), Ok((3, 4)));
    assert_eq!(range("pub fn second("), Ok((6, 10)));
    assert!(range("fn third").is_err_and(|text| text.contains("is not in")));
    assert!(range("fn ").is_err_and(|text| text.contains("2 times")));
    let text =
        "1. [`a/b.rs:7`](a/b.rs#L7) `fn x`: and [`c.rs:1-3`](c.rs#L1-L3) `struct C`, not [a link](c.rs) `nor this`.";
    let found = references(text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        (found[0].path.as_str(), found[0].item.as_str(), found[0].is_range),
        ("a/b.rs", "fn x", false)
    );
    assert_eq!(
        (found[1].written.as_str(), found[1].is_range),
        ("[`c.rs:1-3`](c.rs#L1-L3) `struct C`", true)
    );
}

/// A place in the code that a document names.
#[derive(Debug)]
struct Reference {
    /// As it stands in the document.
    written: String,
    path: String,
    /// The beginning of the item: a text that one line of the file contains.
    item: String,
    /// Whether the whole item is meant, not its first line.
    is_range: bool,
}

impl Reference {
    fn range(&self) -> Result<(usize, usize), String> {
        let source =
            std::fs::read_to_string(root().join(&self.path)).map_err(|error| format!("{}: {error}", self.path))?;
        range_of(&source, &self.item).map_err(|wrong| format!("{wrong} {}", self.path))
    }

    /// Returns the reference with the right lines.
    fn resolve(&self) -> Result<String, String> {
        let (path, item, (first, last)) = (&self.path, &self.item, self.range()?);
        Ok(match self.is_range {
            true => format!("[`{path}:{first}-{last}`]({path}#L{first}-L{last}) `{item}`"),
            false => format!("[`{path}:{first}`]({path}#L{first}) `{item}`"),
        })
    }

    fn num_lines(&self) -> usize {
        let (first, last) = self.range().unwrap();
        last + 1 - first
    }
}

/// Returns the first and the last line of the item, as rustfmt writes it: the end has the indent of the beginning.
fn range_of(source: &str, item: &str) -> Result<(usize, usize), String> {
    let lines: Vec<_> = source.lines().collect();
    let found: Vec<_> = (0..lines.len()).filter(|&index| lines[index].contains(item)).collect();
    let [first] = found[..] else {
        let count = found.len();
        return Err(if count == 0 {
            format!("`{item}` is not in")
        } else {
            format!("`{item}` stands {count} times in")
        });
    };
    let indent = |line: &str| line.len() - line.trim_start().len();
    let ends =
        |line: &&str| indent(line) == indent(lines[first]) && matches!(line.trim_start(), "}" | "};" | ");" | "]");
    let len = lines[first..].iter().position(ends);
    // An item of one line, such as a constant.
    let is_short = lines[first].ends_with(';') || lines[first].ends_with('}');
    let last = if is_short {
        first
    } else {
        first + len.ok_or_else(|| format!("`{item}` does not end in"))?
    };
    Ok((first + 1, last + 1))
}

fn references(text: &str) -> Vec<Reference> {
    let starts = text.match_indices("[`").map(|(start, _)| start);
    starts.filter_map(|start| reference(&text[start..])).collect()
}

/// Reads the reference at the beginning of a text, if there is one.
fn reference(text: &str) -> Option<Reference> {
    let (place, rest) = text.strip_prefix("[`")?.split_once("`](")?;
    let (path, lines) = place.rsplit_once(':')?;
    let (_, after) = rest.strip_prefix(path)?.split_once(") `")?;
    let (item, _) = after.split_once('`')?;
    let len = text.len() - after.len() + item.len() + 1;
    Some(Reference {
        written: text[..len].to_owned(),
        path: path.to_owned(),
        item: item.to_owned(),
        is_range: lines.contains('-'),
    })
}

/// Returns the text under a heading, up to the next one of its level.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text
        .find(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("{DOCUMENT} has no {heading}"));
    let under = &text[start + heading.len() + 2..];
    &under[..under.find("\n## ").unwrap_or(under.len())]
}
