"""The norms of this repository: `python3 tools/norms [--shrink]`.

Prints a table of the crates and what breaks a norm, and fails if anything does that `exceptions.toml` does not list. An exception
that nothing needs any more fails, too; `--shrink` takes it out and lowers those that are too high.
"""

import sys
from pathlib import Path

import checks
import table
from exceptions import Exceptions
from workspace import Workspace

HERE = Path(__file__).resolve().parent


def main(arguments):
    workspace = Workspace(HERE.parent.parent)
    exceptions = Exceptions(HERE / "exceptions.toml")
    findings = checks.all_findings(workspace, HERE / "words.toml")
    if arguments == ["--shrink"]:
        exceptions.shrink(findings)
    elif arguments:
        sys.exit(__doc__)
    print(table.of(workspace))
    failures = exceptions.compare(findings)
    print(f"\n{len(findings)} exceptions of {len(exceptions.entries)} listed, {len(failures)} failures")
    for failure in failures:
        print(f"norms: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
