"""Tests of the norms: `python3 -m unittest discover tools/norms`."""

import tempfile
import unittest
from pathlib import Path

import checks
from exceptions import Exceptions
from rings import Crate, expand
from rust import Source, nesting
from workspace import Package


def function(text):
    (found,) = Source(text).functions
    return found


class Rust(unittest.TestCase):
    def test_braces_in_comments_and_literals_are_not_code(self):
        text = "fn a() {\n  // {\n  let b = \"{\";\n  let c = '{'; let d = r#\"\"{\"#; let e = '\\'';\n}\nfn after() {}\n"
        first, after = Source(text).functions
        self.assertEqual((first.name, first.line, first.lines), ("a", 1, 5))
        self.assertEqual(after.name, "after")

    def test_lifetimes_are_not_characters(self):
        self.assertEqual(function("fn a<'a>(b: &'a str) -> &'a str {\n b\n}").lines, 3)

    def test_a_function_without_a_body_is_left_out(self):
        self.assertEqual(Source("trait A { fn a(b: [u8; 4]) -> u8; }").functions, [])

    def test_a_signature_counts_and_may_have_brackets(self):
        self.assertEqual(function("fn a(\n  b: [u8; 4],\n) -> u8\n{\n  b[0]\n}").lines, 6)

    def test_blocks_count_and_literals_do_not(self):
        for depth, body in [
            (0, "let a = B { c: D { e } }; f(G { h });"),
            (0, "use a::{b, c}; let A { b } = c;"),
            (1, "if a == B { c(); }"),
            (1, "if let A { b } = c { d() }"),
            (1, "match a { B { c } => d, _ => e }"),
            (1, "match a { B { c } => { d } C => { e } D if f => { g } }"),
            (2, "match a { B { c } => match d { e => { f } } }"),
            (2, "spawn(async move { loop { a() } });"),
            (3, "for a in b { while c { unsafe { d() } } }"),
            (4, "if a { if b { if c { if d { e } } } }"),
            (1, "if a {} else if b {} else {}"),
            (1, "a.map(|b| { c(b) })"),
            (1, 'select! { a = b => c, }'),
            (0, 'emit(&json!({"a": {"b": 1}}))'),
        ]:
            self.assertEqual(nesting(Source(body).code), depth, body)

    def test_test_modules_are_left_out(self):
        source = Source("/// Doc.\nfn a() {}\n#[cfg(test)]\nmod tests {\n  /// Doc.\n  fn b() { c(\"}\") }\n}\nfn d() {}\n")
        self.assertEqual([found.name for found in source.without_tests.functions], ["a", "d"])
        self.assertEqual(source.without_tests.num_doc_lines(), 1)
        self.assertEqual(source.without_tests.num_code_lines(), 2)


class Rings(unittest.TestCase):
    def rings(self, **files):
        modules = {tuple(name.split("__")) if name != "lib" else (): Source(text) for name, text in files.items()}
        return [["::".join(module) for module in ring] for ring in Crate(modules).rings()]

    def test_trees_of_names_are_expanded(self):
        self.assertEqual(expand("a::{b, c::{d, self}, e as f}"), ["a::b", "a::c::d", "a::c", "a::e as f"])

    def test_a_line_is_not_a_ring(self):
        self.assertEqual(self.rings(lib="mod a; mod b;", a="use crate::b::B;", b="pub(crate) struct B;"), [])

    def test_a_ring_through_paths_without_use_is_found(self):
        found = self.rings(lib="", a="use crate::b::B;", b="fn f() { super::c::g(); }", c="use super::a::{self, A};")
        self.assertEqual(found, [["a", "b", "c"]])

    def test_a_facade_is_looked_through(self):
        found = self.rings(lib="pub use a::A; pub use b::B;", a="use crate::B;", b="use crate::A;")
        self.assertEqual(found, [["a", "b"]])

    def test_a_facade_is_not_part_of_a_ring(self):
        self.assertEqual(self.rings(lib="pub use a::A; pub use b::B;", a="use crate::B;", b=""), [])

    def test_tests_and_comments_import_nothing(self):
        tests = "// use crate::a::A;\n#[cfg(test)]\nmod tests { use crate::a::A; }"
        self.assertEqual(self.rings(lib="", a="use crate::b::B;", b=tests), [])


class Norms(unittest.TestCase):
    def test_limits_are_inclusive(self):
        body = "a();\n" * 58
        sources = {"a.rs": Source(f"fn fits() {{\n{body}}}\n"), "a/b.rs": Source(f"fn too_long() {{\n{body}b();\n}}\n")}
        self.assertEqual(checks.functions(sources), {("function", "b.rs::too_long"): 61})
        sources = {"a.rs": Source("\n" * 400), "b.rs": Source("\n" * 401)}
        self.assertEqual(checks.file_lengths(sources), {("file", "b.rs"): 401})

    def test_words_are_found_in_names_and_not_in_other_words(self):
        words = checks.load_words(Path(__file__).with_name("words.toml"))
        texts = {"a.md": "Nobody; nobody_else and nobody. Anybodynobody.", "b.rs": "room_of_nobody"}
        self.assertEqual(checks.forbidden_words(texts, words), {("word", "nobody"): 3})


class Documentation(unittest.TestCase):
    def test_a_readme_counts_where_it_is_the_documentation_of_the_crate(self):
        with tempfile.TemporaryDirectory() as root:
            crate = Path(root) / "crate"
            (crate / "src").mkdir(parents=True)
            (crate / "README.md").write_text("# crate\n\nText.\n")
            for text, expected in (('#![doc = include_str!("../README.md")]\n//! More.\n', 4), ("//! More.\n", 1)):
                (crate / "src" / "lib.rs").write_text(text)
                self.assertEqual(Package(Path(root), crate).num_doc_lines(), expected)


class Ratchet(unittest.TestCase):
    ENTRY = '[[exception]]\nnorm = "{}"\nwhere = "{}"\nmost = {}\nreason = "{}"\n\n'

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "exceptions.toml"

    def exceptions(self, *entries):
        self.file.write_text("# Why.\n\n" + "".join(self.ENTRY.format(*entry) for entry in entries))
        return Exceptions(self.file)

    def test_what_is_listed_passes_up_to_its_limit(self):
        exceptions = self.exceptions(("file", "a.rs", 410, "b"))
        self.assertEqual(exceptions.compare({("file", "a.rs"): 410}), [])
        self.assertIn("a.rs has 411, allowed are 410", exceptions.compare({("file", "a.rs"): 411})[0])

    def test_what_is_not_listed_fails(self):
        self.assertIn("no exception", self.exceptions().compare({("word", "nobody"): 1})[0])

    def test_an_exception_without_need_or_reason_fails(self):
        self.assertIn("goes out", self.exceptions(("file", "a.rs", 410, "b")).compare({})[0])
        self.assertIn("without a reason", self.exceptions(("file", "a.rs", 410, "")).compare({("file", "a.rs"): 410})[0])

    def test_shrinking_lowers_and_takes_out_and_never_raises(self):
        exceptions = self.exceptions(("file", "a.rs", 450, "b"), ("file", "gone.rs", 420, "b"), ("word", "nobody", 3, "b"))
        findings = {("file", "a.rs"): 410, ("word", "nobody"): 5, ("word", "new"): 1}
        exceptions.shrink(findings)
        self.assertEqual({entry["where"]: entry["most"] for entry in exceptions.entries}, {"a.rs": 410, "nobody": 3})
        self.assertTrue(self.file.read_text().startswith("# Why.\n"))
        self.assertEqual(len(exceptions.compare(findings)), 2)


if __name__ == "__main__":
    unittest.main()
