"""The norms themselves. A finding is `(norm, where): value`, where the value is over the norm's limit."""

import math
import re
import tomllib

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_NESTING = 3  # blocks within each other, below the signature
MAX_RING = 4  # files that import each other
MAX_CODE_PER_DOC = 3.4  # lines of code for one of documentation: documentation ÷ code is at least .30


def all_findings(workspace, words):
    return {
        **file_lengths(workspace.sources()),
        **functions(workspace.sources()),
        **rings(workspace.packages),
        **documentation(workspace.packages),
        **forbidden_words(workspace.texts(), load_words(words)),
    }


def file_lengths(sources):
    lengths = {("file", path): source.num_lines() for path, source in sources.items()}
    return {key: length for key, length in lengths.items() if length > MAX_FILE_LINES}


def functions(sources):
    """By the names of file and function, so that an exception stays with a file that moves."""
    findings = {}
    for path, source in sources.items():
        for function in source.functions:
            for norm, value, limit in (
                ("function", function.lines, MAX_FUNCTION_LINES),
                ("nesting", function.nesting, MAX_NESTING),
            ):
                where = f"{path.split('/')[-1]}::{function.name}"
                if value > limit:
                    findings[norm, where] = max(value, findings.get((norm, where), 0))
    return findings


def rings(packages):
    """The number of files in rings that are too long, by crate."""
    too_long = {("ring", package.name): [ring for ring in package.rings if len(ring) > MAX_RING] for package in packages}
    return {key: sum(map(len, those)) for key, those in too_long.items() if those}


def documentation(packages):
    findings = {}
    for package in packages:
        per_doc = package.num_code_lines() / max(package.num_doc_lines(), 1)
        if package.is_published and per_doc > MAX_CODE_PER_DOC:
            findings["documentation", package.name] = math.ceil(per_doc * 10) / 10
    return findings


def load_words(file):
    """Forbidden word → pattern. A word counts within snake_case, too."""
    listed = tomllib.loads(file.read_text())["words"]
    return {word: re.compile(rf"(?<![A-Za-z]){pattern or word}(?![A-Za-z])") for word, pattern in listed.items()}


def forbidden_words(texts, words):
    """How often each word stands in all files together, so that text may move."""
    counts = {("word", word): sum(len(pattern.findall(text)) for text in texts.values()) for word, pattern in words.items()}
    return {key: count for key, count in counts.items() if count}
