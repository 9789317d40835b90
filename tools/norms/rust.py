"""Rust source as text: code without comments and strings, functions, nesting, documentation."""

import re
from dataclasses import dataclass
from functools import cached_property

# A comment, or a literal whose inside could be taken for code.
_OPAQUE = re.compile(
    r'//[^\n]*|/\*.*?\*/|b?r(?P<hashes>#*)".*?"(?P=hashes)|[bc]?"(?:\\.|[^"\\])*"|b?\'(?:\\[^\n]+?|[^\\\'\n])\'', re.S
)
_FUNCTION = re.compile(r"\bfn\s+(\w+)")
_TEST_MODULE = re.compile(r"#\[cfg\((?:test|all\(test[^\]]*)\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod\s+\w+\s*\{")
_CONTROL = re.compile(r"\b(?:if|else|match|loop|while|for|unsafe|async|move)\b")
_ITEM = re.compile(r"\b(?:struct|enum|impl|trait|mod|use|union)\b")
_IN_PATTERN = re.compile(r"\blet\b[^=]*$")
_TYPE_NAME = re.compile(r"(?:\b[A-Z]\w*|(?<!-)>)\s*$")
_NO_BLOCK = ("(", "[", ",", ":", "&", "=>")  # an arm is one level with its `match`


@dataclass
class Function:
    """A function with a body: its lines, its deepest block below the signature."""

    name: str
    line: int
    lines: int
    nesting: int


class Source:
    """One file."""

    def __init__(self, text):
        self.text = text
        self.code = _OPAQUE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)

    @cached_property
    def functions(self):
        """All functions that have a body."""
        return [function for found in _FUNCTION.finditer(self.code) if (function := self._function(found))]

    @cached_property
    def without_tests(self):
        """The file without the bodies of its test modules."""
        text = self.text
        for found in reversed(list(_TEST_MODULE.finditer(self.code))):
            text = text[: found.start()] + text[closing(self.code, found.end() - 1) + 1 :]
        return Source(text)

    def num_lines(self):
        return self.text.count("\n")

    def num_doc_lines(self):
        return len(re.findall(r"^\s*//[/!]", self.text, re.M))

    def num_code_lines(self):
        return sum(1 for line in self.code.splitlines() if line.strip())

    def _function(self, found):
        begin = _body(self.code, found.end())
        if begin is None:
            return None
        end = closing(self.code, begin)
        first = self.code.count("\n", 0, found.start()) + 1
        return Function(found[1], first, self.code.count("\n", found.start(), end) + 1, nesting(self.code[begin + 1 : end]))


def closing(code, opening):
    """The place of the brace that closes the one at `opening`."""
    depth = 0
    for found in re.finditer(r"[{}]", code[opening:]):
        depth += 1 if found[0] == "{" else -1
        if depth == 0:
            return opening + found.start()
    return len(code)


def nesting(body):
    """How deep blocks lie within each other; arms, literals of structs, patterns, lists of names are not blocks."""
    deepest, stack, head = 0, [], 0
    for found in re.finditer(r"[{};]", body):
        if found[0] == "{":
            stack.append(_is_block(body[head : found.start()]))
            deepest = max(deepest, sum(stack))
        elif found[0] == "}" and stack:
            stack.pop()
        head = found.end()
    return deepest


def _is_block(head):
    """Tells whether a brace after this text, which begins after the brace or semicolon before, opens a block."""
    if _ITEM.search(head) or _IN_PATTERN.search(head) or head.rstrip().endswith(_NO_BLOCK):
        return False
    return bool(_CONTROL.search(head)) or not _TYPE_NAME.search(head)


def _body(code, start):
    """The place of the brace that opens the body of a function whose name ends at `start`."""
    depth = 0
    for found in re.finditer(r"[(){};\[\]]", code[start:]):
        if found[0] in "([":
            depth += 1
        elif found[0] in ")]":
            depth -= 1
        elif depth == 0:
            return start + found.start() if found[0] == "{" else None
    return None
