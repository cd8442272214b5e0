"""Every Python snippet of the documentation runs, and every file that a page names in code exists."""

import re
from pathlib import Path
from typing import Any

import pytest
from doc_snippets import PAGES, ROOT, TRAINED, run_python, snippets
from finished_runs import write_run

PYTHON = [page for page, path in PAGES.items() if any(s.language == "python" for s in snippets(path))]
NAMED = re.compile(r"`((?:hwsim|trainers|reports|tests|benchmarks|notebooks|documentation|docs)/[\w/.]+)`")


@pytest.mark.parametrize("page", [page for page in PYTHON if page not in TRAINED])
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippets of a page share their names."""
    monkeypatch.chdir(tmp_path)
    if page == "docs/figures.md":
        write_run(Path("runs"), weights="uniform", activations="asq")
    names: dict[str, Any] = {}
    for snippet in snippets(PAGES[page]):
        if snippet.language == "python":
            run_python(snippet, names)


def test_there_is_something_to_run() -> None:
    assert {"README.md", "docs/concepts.md", "docs/cost.md", "docs/multipliers.md", "docs/rtl.md", *TRAINED} <= set(
        PYTHON
    )


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    named = NAMED.findall(PAGES[page].read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []
