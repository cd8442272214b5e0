"""A page for every notebook: its text, its code, and what the code showed when it was last run."""

import json
import re
from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PICTURE = "image/png"
KINDS = (
    "text/markdown",
    "text/html",
    PICTURE,
    "text/plain",
)  #: A cell that shows a thing in several is shown in the first.
FORMULA = re.compile(r"\$([^\s$][^$\n]*)\$")


@cache
def notebooks() -> dict[str, Path]:
    """Return the notebooks by place of their pages."""
    return {f"notebooks/{path.stem}.md": path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}


def sources() -> dict[str, str]:
    """Return the files of the repository by place of their pages."""
    return {place: path.relative_to(ROOT).as_posix() for place, path in notebooks().items()}


def pages() -> dict[str, str]:
    """Return the pages of all notebooks by place on the site."""
    return {place: page(_cells(path), path.name) for place, path in notebooks().items()}


def pictures() -> dict[str, bytes]:
    """Return what the pages show as PNG, by place on the site."""
    return {
        f"notebooks/{_picture(path.name, cell, place)}": b64decode(output["data"][PICTURE])
        for path in notebooks().values()
        for cell in _cells(path)
        for place, output in enumerate(cell.get("outputs", ()))
        if "data" in output and _kind(output) == PICTURE
    }


def _cells(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells


def page(cells: list[dict[str, Any]], name: str) -> str:
    """Return the cells of a notebook as Markdown, and where the file itself is.

    Args:
        cells: As a file of nbformat 4 has them.
        name: File name of the notebook.

    Raises:
        ValueError: a cell holds what the site cannot show.
    """
    parts = [part for cell in cells for part in (_code(cell, name) if cell["cell_type"] == "code" else [_text(cell)])]
    link = f'This page is a notebook, shown as it was last run: <a href="{name}" download>{name}</a>.'
    return "\n\n".join([*parts, "---", link]) + "\n"


def _text(cell: dict[str, Any]) -> str:
    return FORMULA.sub(_formula, "".join(cell["source"]))


def _formula(match: re.Match[str]) -> str:
    """Return a formula without LaTeX: square roots of one sign, and powers."""
    text = re.sub(r"\^(\w)", r"<sup>\1</sup>", re.sub(r"\\sqrt (\w)", r"√\1", match[1]))
    if re.search(r"[\\^{}]", text):
        raise ValueError(f"the site has no LaTeX beyond \\sqrt x and x^y, got {match[0]}")
    return text


def _code(cell: dict[str, Any], name: str) -> list[str]:
    shown = [_output(output, _picture(name, cell, place)) for place, output in enumerate(cell["outputs"])]
    return [_fenced("".join(cell["source"]), "python"), *shown]


def _output(output: dict[str, Any], picture: str) -> str:
    """Return what a cell shows. Tables in Markdown and HTML come from our own code, and are taken as they are."""
    if output["output_type"] == "stream":
        return _fenced("".join(output["text"]), "{ .text .output }")
    kind = _kind(output)
    if kind == PICTURE:
        return f"![What the code above draws]({picture})"
    text = "".join(output["data"][kind])
    return _fenced(text, "{ .text .output }") if kind == "text/plain" else text.strip()


def _kind(output: dict[str, Any]) -> str:
    found = [kind for kind in KINDS if kind in output.get("data", ())]
    if not found:
        raise ValueError(f"the site shows {', '.join(KINDS)} and streams of a notebook, got {output}")
    return found[0]


def _picture(name: str, cell: dict[str, Any], place: int) -> str:
    return f"{name.removesuffix('.ipynb')}-{cell['execution_count']}-{place}.png"


def _fenced(text: str, language: str) -> str:
    if "```" in text:
        raise ValueError(f"code and what it shows stand between ``` on the site, so they hold none, got {text!r}")
    return f"```{language}\n{text.rstrip()}\n```"
