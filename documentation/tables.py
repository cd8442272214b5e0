"""Tables whose cells are Markdown."""

from collections.abc import Mapping, Sequence


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows with equal keys as a Markdown table; cells may hold links and code, and no line breaks."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def plain(text: str) -> str:
    """Return a text of the code for a cell: one line, in which nothing is a tag or ends the cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")
