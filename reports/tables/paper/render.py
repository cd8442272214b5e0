"""A published table with ours beside it, as text: one function per format."""

from collections.abc import Callable, Sequence
from pathlib import Path

from hwsim import latex
from hwsim.errors import unknown_name
from hwsim.output import Row, render
from reports.links import relative_link
from reports.pages.template import render as render_page
from reports.tables.paper.layout import Cell, PaperView


def render_paper(view: PaperView, format: str, home: Path) -> str:
    """Return the table as text in one of the `FORMATS`.

    csv and json hold a row per published number, exact, with the files of the records; the others are laid out as a
    paper prints it. In markdown, html and latex a number of ours links to its records.

    Args:
        view: the table.
        format: a name in `FORMATS`.
        home: folder that the text will be in, or that it is read from: links start there.

    Raises:
        ValueError: the format is unknown.
    """
    if format not in FORMATS:
        raise unknown_name("output format", format, FORMATS)
    return FORMATS[format](view, home)


def _rows(view: PaperView, show: Callable[[Cell], str]) -> list[Row]:
    """Return the lines for people with each cell as the format shows it."""
    return [dict(zip(view.headings, map(show, line), strict=True)) for line in view.lines]


def _with_seeds(cell: Cell) -> str:
    if not cell.runs:
        return cell.text
    return f"{cell.text} (seed{'s' if len(cell.runs) > 1 else ''} {', '.join(map(str, cell.runs))})"


def _csv(view: PaperView, home: Path) -> str:
    return render(view.rows, "csv")


def _json(view: PaperView, home: Path) -> str:
    return render(view.rows, "json")


def _table(view: PaperView, home: Path) -> str:
    return render(_rows(view, _with_seeds), "table", title=view.title) + "\n" + _bullets(view.notes)


def _markdown(view: PaperView, home: Path) -> str:
    def show(cell: Cell) -> str:
        links = [f"[{seed}]({relative_link(path, home)})" for seed, path in cell.runs.items()]
        return f"{cell.text} (seed{'s' if len(links) > 1 else ''} {', '.join(links)})" if links else cell.text

    notes = [note.replace("*", "\\*") for note in view.notes]
    return render(_rows(view, show), "markdown", title=view.title) + "\n" + _bullets(notes)


def _bullets(notes: Sequence[str]) -> str:
    return "".join(f"* {note}\n" for note in notes)


def _latex(view: PaperView, home: Path) -> str:
    def show(cell: Cell) -> str:
        links = [latex.link(relative_link(path, home), str(seed)) for seed, path in cell.runs.items()]
        seeds = f" (seed{'s' if len(links) > 1 else ''} {', '.join(links)})" if links else ""
        return latex.Latex(latex.escaped(cell.text) + seeds)

    table = render(_rows(view, show), "latex", title=view.title)
    return f"% Needs the packages booktabs and hyperref.\n{table}{latex.small_list(view.notes)}"


def _html(view: PaperView, home: Path) -> str:
    def link(path: Path) -> str:
        return relative_link(path, home)

    return render_page("paper_table.html", view=view, link=link, live=False)


FORMATS: dict[str, Callable[[PaperView, Path], str]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "markdown": _markdown,
    "latex": _latex,
    "html": _html,
}
