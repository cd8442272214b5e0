"""Snippets of code in the documentation, and the commands that they hold."""

import doctest
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROOT_FILES = ("README.md", "CONTRIBUTING.md", "notebooks/README.md")
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (*(ROOT / name for name in ROOT_FILES), *sorted((ROOT / "docs").rglob("*.md")))
}
#: Pages whose Python trains, or takes what commands trained: tests/test_doc_commands.py runs both in their order.
TRAINED = ("docs/guides/model.md", "docs/guides/simulate.md")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}hwsim .*\n)+", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`((?:PYTHONPATH=\. )?(?:hwsim|python|make|pytest) [^`]+)`(?!`)")
LOOP = re.compile(r"for (\w+) in ([^;]+);\s*do\b")
SEPARATORS = frozenset({";", "&&", "||", "|", "&"})
KEYWORDS = frozenset({"do", "done", "until", "while", "then", "fi"})


@dataclass(frozen=True)
class Snippet:
    """A block of code, and where it stands."""

    file: str
    line: int
    language: str
    text: str


def snippets(path: Path) -> list[Snippet]:
    """Return the blocks of a Markdown file."""
    return snippets_of(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())


def snippets_of(text: str, file: str) -> list[Snippet]:
    """Return the blocks of a Markdown text: fenced ones, and indented ones that hold commands."""
    fenced = [(match.start(), match[1], match[2]) for match in FENCE.finditer(text)]
    outside = FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    indented = [(match.start(), "", match[0]) for match in INDENTED.finditer(outside)]
    found = sorted(fenced + indented)
    return [Snippet(file, text.count("\n", 0, start) + 1, language, body) for start, language, body in found]


def run_python(snippet: Snippet, names: dict[str, Any]) -> None:
    """Run a snippet of Python; one with prompts must print what it shows. Names are read and added.

    Raises:
        AssertionError: a snippet prints something else; stdout has what.
    """
    place = f"{snippet.file}:{snippet.line}"
    if ">>>" not in snippet.text:
        exec(compile(snippet.text, place, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(snippet.text, names, place, snippet.file, snippet.line)
    outcome = doctest.DocTestRunner().run(test, clear_globs=False)
    names |= test.globs
    assert outcome.failed == 0, f"{place} prints something else than it shows"


def inline_commands(path: Path) -> list[str]:
    """Return what stands in a line of text as `hwsim ...`, `python ...`, `make ...` or `pytest ...`."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    return [" ".join(match[1].split()) for match in INLINE.finditer(text)]


def commands(snippet: Snippet) -> list[str]:
    """Return the simple commands of a shell snippet, its loops unrolled; none if it is not one of a shell."""
    if snippet.language not in ("", "bash", "sh"):
        return []
    text = snippet.text.replace("\\\n", " ")
    return [command for values in _loops(text) for command in _simple_commands(_filled(text, values))]


def _loops(text: str) -> Iterator[Mapping[str, str]]:
    """Yield the values of the loops' variables, all combinations."""
    loops = {match[1]: shlex.split(match[2]) for match in LOOP.finditer(text)}
    for values in product(*loops.values()):
        yield dict(zip(loops, values, strict=True))


def _filled(text: str, values: Mapping[str, str]) -> str:
    text = LOOP.sub("", text)
    for name, value in values.items():
        text = re.sub(rf"\${name}\b", value, text)
    return text


def _simple_commands(text: str) -> Iterator[str]:
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in SEPARATORS:
                words.append(word)
                continue
            while words and words[0] in KEYWORDS:
                words.pop(0)
            if words:
                yield shlex.join(words)
            words = []
