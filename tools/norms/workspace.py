"""The files and crates of the workspace."""

from pathlib import Path

from rings import Crate
from rust import Source

_SKIPPED = {"target", ".test-env", ".git", "node_modules", "seeds"}
# What only this repository uses; all other crates are published.
_INTERNAL = {"bench", "examples", "fuzz", "integration"}


class Package:
    """A crate: its folder, and the modules in its `src` but programs and files of tests."""

    def __init__(self, root, folder):
        self.name = folder.name
        self.folder = folder
        self.is_published = self.name not in _INTERNAL
        self.all_sources = {path.relative_to(root).as_posix(): Source(path.read_text()) for path in files(folder, ".rs")}
        inside = f"{self.name}/src/"
        self.modules = {
            module(path[len(inside) :]): source
            for path, source in self.all_sources.items()
            if path.startswith(inside) and not path.startswith(inside + "bin/") and Path(path).name != "tests.rs"
        }
        self.rings = Crate(self.modules).rings()

    def num_doc_lines(self):
        return self.num_readme_lines() + sum(source.without_tests.num_doc_lines() for source in self.modules.values())

    def num_readme_lines(self):
        """The lines of the README where it is the documentation of the crate."""
        root = self.modules.get(())
        readme = self.folder / "README.md"
        is_included = root is not None and 'include_str!("../README.md")' in root.text
        return readme.read_text().count("\n") if is_included else 0

    def num_code_lines(self):
        return sum(source.without_tests.num_code_lines() for source in self.modules.values())


class Workspace:
    def __init__(self, root):
        self.root = root
        folders = sorted(path.parent for path in root.glob("*/Cargo.toml"))
        self.packages = [Package(root, folder) for folder in folders if (folder / "src").is_dir()]

    def sources(self):
        """All Rust files: path → `Source`."""
        return {path: source for package in self.packages for path, source in package.all_sources.items()}

    def texts(self):
        """All files that people read: path → text."""
        own = Path(__file__).parent
        paths = [path for path in files(self.root, ".rs", ".md", ".toml", ".sh", ".py", ".js") if own not in path.parents]
        return {path.relative_to(self.root).as_posix(): path.read_text() for path in paths}


def module(path):
    """`a/b.rs`, `a/b/mod.rs` → `("a", "b")`; `lib.rs`, `main.rs` → `()`."""
    parts = Path(path).with_suffix("").parts
    return parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts


def files(folder, *suffixes):
    """The files below a folder with these suffixes, sorted."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name not in _SKIPPED:
                yield from files(path, *suffixes)
        elif path.suffix in suffixes:
            yield path
