"""The table of the crates."""

import re

from rings import expand

_ITEM = re.compile(r"^pub\s+(?:async\s+|const\s+|unsafe\s+)*(?:mod|fn|struct|enum|trait|type|const|static)\s+\w+", re.M)
_REEXPORT = re.compile(r"^pub\s+use\s+([^;]+);", re.M)
_HEAD = ["crate", "files", "lines", "in src", "root names", "largest ring", "longest function", "longest file", "deepest", "doc ÷ code"]


def of(workspace):
    """The table as text, one row a crate."""
    rows = [_HEAD] + [_row(package) for package in workspace.packages]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row, widths):
    first, *rest = (cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths)))
    return "  ".join([first, *rest]).rstrip()


def _row(package):
    sources = package.all_sources.values()
    functions = [function for source in sources for function in source.functions]
    cells = [
        len(package.all_sources),
        sum(source.num_lines() for source in sources),
        sum(source.num_lines() for source in package.modules.values()),
        root_names(package),
        max(map(len, package.rings), default=1),
        max((function.lines for function in functions), default=0),
        max(source.num_lines() for source in sources),
        max((function.nesting for function in functions), default=0),
        f"{package.num_doc_lines() / max(package.num_code_lines(), 1):.2f}",
    ]
    return [package.name, *map(str, cells)]


def root_names(package):
    """How many names stand at the root of a library."""
    if f"{package.name}/src/lib.rs" not in package.all_sources:
        return "–"
    code = package.all_sources[f"{package.name}/src/lib.rs"].without_tests.code
    return len(_ITEM.findall(code)) + sum(len(expand(found[1])) for found in _REEXPORT.finditer(code))
