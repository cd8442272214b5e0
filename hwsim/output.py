"""Rows of results as text: one renderer per output format, clean enough to pipe."""

import csv
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from hwsim.errors import unknown_name
from hwsim.latex import Latex, escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Value = str | int | float | bool | None
Row = Mapping[str, Value]

NO_ROWS = "(no rows)"
LONG = 80  #: Characters of a text that is broken into lines in latex.
GAP = 2  #: Characters between the columns of a table.
LEAST_TEXT = 12  #: Characters of a column of texts, below which a table on a terminal is not folded.


@dataclass(frozen=True)
class Grid:
    """Rows laid out as columns: what every renderer reads.

    Attributes:
        columns: keys of the rows, in the order in which they are first seen.
        headers: one per column, `name [unit]` where a unit is known.
        cells: one tuple per row, None where the row has no value.
        title: what the table shows; a format that is read by programs leaves it out.
    """

    columns: tuple[str, ...]
    headers: tuple[str, ...]
    cells: tuple[tuple[Value, ...], ...]
    title: str | None

    def is_numeric(self, column: int) -> bool:
        """Say whether the column holds numbers only, missing cells apart; "97.5 ± 0.3" and "1.8G" are numbers too."""
        values = [row[column] for row in self.cells if row[column] is not None]
        return bool(values) and all(map(_is_number, values))

    def is_long(self, column: int) -> bool:
        """Say whether the column holds sentences; what is LaTeX already is laid out by who made it."""
        values = [row[column] for row in self.cells]
        return any(isinstance(value, str) and not isinstance(value, Latex) and len(value) > LONG for value in values)


def _is_number(value: Value) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"-?\d[\d.]*[kMGTP]?( ± \d[\d.]*)?", value) is not None
    return not isinstance(value, bool)


def render(
    rows: Sequence[Row], format: str, *, title: str | None = None, units: Mapping[str, str] | None = None
) -> str:
    """Return the rows as text in one of the `OUTPUTS`, ending in a newline unless it is empty.

    The columns are the union of the rows' keys in first-seen order. A missing key, None and NaN are all a
    missing value: an empty cell, `null` in JSON. Numbers are exact in csv and json; elsewhere fractions are
    rounded by `readable`.

    Args:
        rows: one mapping per row, from column name to value.
        format: a name in `OUTPUTS`.
        title: heading of a table that people read (a comment in latex); csv and json leave it out.
        units: unit per column; the column is then called `name [unit]` in every format, JSON keys included.

    Raises:
        ValueError: the format is unknown; a value is no string, number or truth value; JSON cannot hold it.
    """
    if format not in OUTPUTS:
        raise unknown_name("output format", format, OUTPUTS)
    return OUTPUTS[format](_grid(rows, title, units or {}))


def write(
    rows: Sequence[Row],
    format: str,
    *,
    title: str | None = None,
    units: Mapping[str, str] | None = None,
    stream: TextIO | None = None,
) -> None:
    """Write what `render` returns to the stream (default: stdout).

    A table on a terminal is fitted to its width: headers and texts are folded, numbers never. One that cannot be fitted
    is written as into a file.

    Raises:
        ValueError: as `render`.
    """
    stream = sys.stdout if stream is None else stream
    grid = _grid(rows, title, units or {})
    if format == "table" and grid.columns and stream.isatty():
        _print_table(grid, stream)
    else:
        stream.write(render(rows, format, title=title, units=units))


def readable(value: float) -> str:
    """Return the number with four significant digits or all digits before the point, whichever are more.

    Below 1e-4 and from 1e12 on it has an exponent.

    >>> readable(97.53), readable(123456.7), readable(0.00001234)
    ('97.53', '123457', '1.234e-05')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    scientific = f"{value:.3e}"
    exponent = int(scientific.partition("e")[2])
    return f"{value:.{max(0, 3 - exponent)}f}" if -5 < exponent < 12 else scientific


def _grid(rows: Sequence[Row], title: str | None, units: Mapping[str, str]) -> Grid:
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    headers = tuple(f"{name} [{units[name]}]" if name in units else name for name in columns)
    cells = tuple(tuple(_value(name, row.get(name)) for name in columns) for row in rows)
    return Grid(columns, headers, cells, title)


def _value(column: str, value: object) -> Value:
    item = getattr(value, "item", None)  # a numpy scalar
    plain = item() if callable(item) else value
    if isinstance(plain, float) and math.isnan(plain):
        return None
    if plain is None or isinstance(plain, str | int | float):
        return plain
    rule = "a value must be a string, number, truth value or None"
    raise ValueError(f"{rule}, got {plain!r} in column {column!r}")


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return readable(value) if isinstance(value, float) else re.sub(r"[\t-\r\x85\u2028\u2029]+", " ", str(value))


def _csv(grid: Grid) -> str:
    if not grid.columns:
        return ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(grid.headers)
    writer.writerows([str(v).lower() if isinstance(v, bool) else v for v in row] for row in grid.cells)
    return text.getvalue()


def _json(grid: Grid) -> str:
    for row in grid.cells:
        for name, value in zip(grid.columns, row, strict=True):
            if isinstance(value, float) and math.isinf(value):
                raise ValueError(f"json has no infinity, got {value} in column {name!r}")
    objects = [dict(zip(grid.headers, row, strict=True)) for row in grid.cells]
    return json.dumps(objects, indent=2, ensure_ascii=False) + "\n"


def _table(grid: Grid) -> str:
    from rich.console import Console

    heading = f"{_text(grid.title)}\n" if grid.title else ""
    if not grid.columns:
        return f"{heading}{NO_ROWS}\n"
    text = io.StringIO()
    columns = zip(grid.headers, *grid.cells, strict=True)
    widest = sum(max(map(len, map(_text, column))) for column in columns)
    console = Console(
        file=text,
        width=2 * widest + 4 * len(grid.columns),  # a wide character takes two cells
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
        force_interactive=False,
    )
    console.print(_rich_table(grid, rule="-"))
    return heading + "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def console(stream: TextIO) -> "Console":
    """Return what draws on a terminal; where NO_COLOR is set (https://no-color.org), without colours and bold."""
    from rich.console import Console

    return Console(file=stream, color_system=None if os.environ.get("NO_COLOR") else "auto")


def _print_table(grid: Grid, stream: TextIO) -> None:
    from rich.text import Text

    terminal = console(stream)
    if _width(grid, folded=True) > terminal.width:
        stream.write(_table(grid))
        return
    if grid.title:
        terminal.print(Text(grid.title, style="bold"))
    terminal.print(_rich_table(grid, rule="─", folded=_width(grid) > terminal.width))


def _width(grid: Grid, folded: bool = False) -> int:
    """Return the characters that the table needs; folded: if headers break between words and texts anywhere."""
    return sum(_column_width(grid, i, folded) + GAP for i in range(len(grid.columns))) - GAP


def _column_width(grid: Grid, column: int, folded: bool) -> int:
    cells = max((len(_text(row[column])) for row in grid.cells), default=0)
    if not folded:
        return max(cells, len(grid.headers[column]))
    words = max(map(len, _words(grid.headers[column]).split()), default=0)
    return max(words, cells if grid.is_numeric(column) else min(cells, LEAST_TEXT))


def _words(header: str) -> str:
    return header.replace("_", " ")


def _rich_table(grid: Grid, rule: str, folded: bool = False) -> "Table":
    """Return the table; folded: headers break between words, texts anywhere, numbers never."""
    from rich.box import Box
    from rich.table import Table
    from rich.text import Text

    box = Box("\n".join(["    ", "    ", f" {rule * 2} ", *["    "] * 5]) + "\n", ascii=rule == "-")
    table = Table(box=box, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for i, header in enumerate(grid.headers):
        is_numeric = grid.is_numeric(i)
        width = _column_width(grid, i, folded) if folded and is_numeric else None
        text = Text(_words(header) if folded else header)
        table.add_column(text, justify="right" if is_numeric else "left", overflow="fold", width=width)
    for row in grid.cells:
        table.add_row(*[Text(_text(value)) for value in row])
    return table


def _markdown(grid: Grid) -> str:
    heading = [f"**{_escape_markdown(grid.title)}**", ""] if grid.title else []
    if not grid.columns:
        return "\n".join([*heading, NO_ROWS]) + "\n"
    rules = ["---:" if grid.is_numeric(i) else "---" for i in range(len(grid.columns))]
    lines = [[_escape_markdown(_text(value)) for value in row] for row in (grid.headers, *grid.cells)]
    table = [f"| {' | '.join(cells)} |" for cells in (lines[0], rules, *lines[1:])]
    return "\n".join([*heading, *table]) + "\n"


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\|`*<])", r"\\\1", text)


def _latex(grid: Grid) -> str:
    heading = [f"% {_text(grid.title)}"] if grid.title else []
    if not grid.columns:
        return "\n".join([*heading, f"% {NO_ROWS}"]) + "\n"
    lines = [" & ".join(map(_latex_cell, row)) + r" \\" for row in (grid.headers, *grid.cells)]
    top = [rf"\begin{{tabular}}{{{_alignment(grid)}}}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*heading, *top, *lines[1:], r"\bottomrule", r"\end{tabular}"]) + "\n"


def _alignment(grid: Grid) -> str:
    """Return numbers to the right, other text to the left, and sentences in lines that share half of the page."""
    kinds = ["r" if grid.is_numeric(i) else "p" if grid.is_long(i) else "l" for i in range(len(grid.columns))]
    return "".join(kinds).replace("p", f"p{{{0.5 / max(1, kinds.count('p')):.2g}\\linewidth}}")


def _latex_cell(value: Value) -> str:
    text = _text(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value if isinstance(value, Latex) else escaped(text)
    mantissa, _, exponent = text.partition("e")
    if exponent:
        return rf"${mantissa}\times10^{{{int(exponent)}}}$"
    return {"inf": r"$\infty$", "-inf": r"$-\infty$"}.get(text, f"${text}$" if text.startswith("-") else text)


OUTPUTS: dict[str, Callable[[Grid], str]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "markdown": _markdown,
    "latex": _latex,
}
