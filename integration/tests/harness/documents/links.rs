//! Links of documents to files of the repository, and to headings in them.

use std::path::Path;

use super::{read, root};

const DOCUMENTS: [&str; 19] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "bench/README.md",
    "docs/access.md",
    "docs/brokers.md",
    "docs/configuration.md",
    "docs/defects.md",
    "docs/deploy.md",
    "docs/doctor.md",
    "docs/guide.md",
    "docs/node.md",
    "docs/observability.md",
    "docs/performance.md",
    "docs/production.md",
    "docs/workers.md",
    "fuzz/README.md",
];

#[test]
fn every_link_of_a_document_leads_to_a_file_or_heading() {
    let mut num_links = 0;
    for document in DOCUMENTS {
        let text = read(document);
        for target in targets(&text) {
            num_links += 1;
            assert!(
                leads_somewhere(document, &target),
                "{document} links to {target}, which is not there"
            );
        }
    }
    assert!(num_links > 50, "there are {num_links} links in all documents");
}

#[test]
fn a_link_that_leads_nowhere_is_noticed() {
    let cases = [
        ("README.md", "docs/guide.md", true),
        ("README.md", "docs/nonsense.md", false),
        ("docs/guide.md", "brokers.md#which-one", true),
        ("docs/guide.md", "brokers.md#nonsense", false),
        ("docs/guide.md", "#installation", true),
        ("docs/guide.md", "#nonsense", false),
        ("docs/guide.md", "../README.md", true),
    ];
    for (document, target, leads) in cases {
        assert_eq!(leads_somewhere(document, target), leads, "{document}: {target}");
    }
    let text = "See [this](a.md), ![an image](b.svg) and [that](https://example.com); not `[this](c.md)`.\n```\n[x](d.md)\n```\n";
    assert_eq!(targets(text), ["a.md", "b.svg"]);
    assert_eq!(
        slug("Events, and `sio` of every server"),
        "events-and-sio-of-every-server"
    );
}

/// Returns the targets of links within the repository.
fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(text) {
        // Every second piece is code; a link whose text is code ends in the piece behind it.
        let pieces: Vec<_> = line.split('`').collect();
        for (_, piece) in pieces.iter().enumerate().filter(|(index, _)| index % 2 == 0) {
            let ends = piece.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            targets.extend(ends.filter(|target| !target.contains("://")).map(str::to_owned));
        }
    }
    targets
}

/// Returns the lines outside blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

fn leads_somewhere(document: &str, target: &str) -> bool {
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = match path {
        "" => document.to_owned(),
        path => Path::new(document).with_file_name(path).to_string_lossy().into_owned(),
    };
    if heading.is_empty() || !path.ends_with(".md") {
        return root().join(path).exists();
    }
    let text = read(&path);
    let mut headings = prose(&text).filter(|line| line.starts_with('#'));
    headings.any(|line| slug(line.trim_start_matches('#').trim()) == heading)
}

/// Returns the fragment by which GitHub knows a heading.
fn slug(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() })
        .collect()
}
