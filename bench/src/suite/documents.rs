//! Documents that show the figures: their tables stand between marks, the chart beside them.
//!
//! All of it is made of `docs/figures.json`: `sio-bench report --publish` writes that file from the results, then the rest.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::figures::Figures;
use super::{Suite, chart, table};

/// The file of the figures, below the folder of the repository.
const DATA: &str = "docs/figures.json";
/// The file of the chart.
const CHART: &str = "docs/figures.svg";

/// A table in a document, between `<!-- figures: NAME -->` and `<!-- end of figures -->`.
struct Block {
    document: &'static str,
    name: &'static str,
    write: fn(&Figures) -> Option<String>,
}

const BLOCKS: [Block; 5] = [
    Block {
        document: "README.md",
        name: "headlines",
        write: table::headlines,
    },
    Block {
        document: "docs/performance.md",
        name: "server",
        write: |figures| table::suites(figures, &[Suite::Server, Suite::Bridge]),
    },
    Block {
        document: "docs/performance.md",
        name: "observed",
        write: table::observed,
    },
    Block {
        document: "docs/brokers.md",
        name: "soak",
        write: |figures| table::by_broker(figures, Suite::Soak),
    },
    Block {
        document: "docs/brokers.md",
        name: "emit",
        write: |figures| table::by_broker(figures, Suite::Emit),
    },
];

/// Writes figures to the data file, the tables and the chart of a repository; rows without new figures keep theirs.
///
/// # Errors
///
/// If a file cannot be read or written, or a document lacks its marks.
pub fn publish(repository: &Path, newer: Figures) -> Result<()> {
    let data = repository.join(DATA);
    let figures = Figures::read(&data)?.updated(newer);
    fs::write(&data, figures.to_json())?;
    fs::write(repository.join(CHART), chart(&figures))?;
    for block in &BLOCKS {
        let path = repository.join(block.document);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        fs::write(&path, block.replaced(&text, &figures)?)?;
    }
    Ok(())
}

impl Block {
    /// Returns a document with this table made anew.
    fn replaced(&self, text: &str, figures: &Figures) -> Result<String> {
        let (begin, end) = (format!("<!-- figures: {} -->\n", self.name), "<!-- end of figures -->");
        let Some((before, rest)) = text.split_once(&begin) else {
            bail!("{} lacks {begin}", self.document);
        };
        let (_, after) = rest
            .split_once(end)
            .with_context(|| format!("{} lacks {end}", self.document))?;
        let table = (self.write)(figures).unwrap_or_default();
        Ok(format!("{before}{begin}\n{table}\n{end}{after}"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn read(path: &str) -> String {
        fs::read_to_string(repository().join(path)).expect(path)
    }

    #[test]
    fn tables_and_chart_of_the_documents_show_the_committed_figures() {
        let figures = Figures::read(&repository().join(DATA)).expect("figures");
        assert!(
            figures.figures.len() > 20,
            "there are {} figures",
            figures.figures.len()
        );
        let how = "`sio-bench report --publish` makes it of docs/figures.json";
        assert_eq!(read(DATA), figures.to_json(), "{DATA}: {how}");
        assert_eq!(read(CHART), chart(&figures), "{CHART}: {how}");
        assert!(
            read("README.md").contains(&format!("]({CHART})")),
            "README.md does not show {CHART}"
        );
        for block in &BLOCKS {
            let text = read(block.document);
            let right = block.replaced(&text, &figures).expect("marks");
            assert_eq!(text, right, "{}, {}: {how}", block.document, block.name);
        }
    }

    #[test]
    fn a_document_without_marks_is_an_error_and_one_with_an_old_table_is_changed() {
        let figures = Figures::default();
        assert!(BLOCKS[0].replaced("no marks", &figures).is_err());
        let old = "a\n<!-- figures: headlines -->\nold\n<!-- end of figures -->\nb\n";
        let new = BLOCKS[0].replaced(old, &figures).expect("marks");
        assert_eq!(new, "a\n<!-- figures: headlines -->\n\n\n<!-- end of figures -->\nb\n");
    }
}
