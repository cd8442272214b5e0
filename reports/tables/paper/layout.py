"""A published table with ours beside it, laid out as the paper does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hwsim.output import Row
from reports.published import PAPER_TABLES, Published, read_published
from reports.published.table import FLOAT_BITS, QUANTITIES, column_heading
from reports.records import FLOAT_DESIGN
from reports.run_groups import RunGroup
from reports.tables.designs import with_deviation
from reports.tables.paper.computed import COMPUTED, computed
from reports.tables.paper.matching import is_of, matching
from reports.tables.paper.notes import MARKS, NOT_AVAILABLE, NOT_MEASURED, NOT_PUBLISHED, notes
from reports.tables.paper.ours import Column, Measured, Ours, lines, starting
from reports.tables.paper.rows import RowKey, number_rows

NAMES = ("data", "model", "method", "from")


@dataclass(frozen=True)
class Cell:
    """A cell for people.

    Attributes:
        text: what it says.
        runs: records that it is the mean of, by seed.
    """

    text: str
    runs: Mapping[int, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class PaperView:
    """A published table beside ours.

    Attributes:
        title: what it shows.
        headings: of the columns.
        named: how many of the columns, from the left, say what a line is.
        lines: the cells for people, a published row and below it ours.
        rows: for programs: one per published number and line of ours, records relative to the folder it was made for.
        notes: what is to be known of it.
    """

    title: str
    headings: Sequence[str]
    named: int
    lines: Sequence[Sequence[Cell]]
    rows: Sequence[Row]
    notes: Sequence[str]


def paper_view(name: str, groups: Sequence[RunGroup], home: Path) -> PaperView:
    """Return one of the `PAPER_TABLES` with the runs that belong to it.

    Args:
        name: of the table.
        groups: designs; those that belong to no row are left out.
        home: folder that paths in rows start from.

    Raises:
        ValueError: the table is computed, but there are runs.
    """
    if name in COMPUTED and groups:
        raise ValueError(f"the table {name} is computed: nothing is trained for it, so it takes no runs")
    numbers = read_published(name)
    columns = sorted({number.column for number in numbers}, key=_order)
    ours = _ours(name, numbers, columns, groups)
    published = {key: {number.column: number for number in numbers if number.row == key} for key in ours}
    found = [line for key in ours for line in _lines(key, published[key], ours[key], columns)]
    first = 0 if len({number.data for number in numbers}) > 1 else 1  # what all rows share is in the title
    return PaperView(
        PAPER_TABLES[name].title,
        [*NAMES, *(f"{column_heading(column)} [%]" for column in columns)][first:],
        len(NAMES) - first,
        [line[first:] for line in found],
        [row for key in ours for row in number_rows(key, published[key], ours[key], columns, home)],
        notes(name, numbers, groups, {cell.text for line in found for cell in line}),
    )


def _order(column: Column) -> tuple[int, bool, int, int]:
    """Return what columns are sorted by: the quantity, float first, then rising widths."""
    quantity, weight_bits, act_bits = column
    return list(QUANTITIES).index(quantity), weight_bits != FLOAT_BITS, weight_bits, act_bits


def _ours(
    name: str, numbers: Sequence[Published], columns: Sequence[Column], groups: Sequence[RunGroup]
) -> dict[RowKey, list[Ours]]:
    """Return the lines of ours by row; an empty one where runs belong to other rows and none to this."""
    keys = dict.fromkeys(number.row for number in numbers)
    if name in COMPUTED:
        return {key: computed(name, columns) for key in keys}
    found = {key: _measured_lines(key, groups) for key in keys}
    nothing = [Ours("ours", None, {})] if any(found.values()) else []
    return {key: ours or nothing for key, ours in found.items()}


def _measured_lines(key: RowKey, groups: Sequence[RunGroup]) -> list[Ours]:
    data, model, method = key
    if method == FLOAT_DESIGN:
        return starting(group for group in groups if is_of(group, data, model))
    return lines(matching(groups, *key))


def _lines(
    key: RowKey, published: Mapping[Column, Published], ours: Sequence[Ours], columns: Sequence[Column]
) -> list[list[Cell]]:
    """Return the lines of one published row."""
    theirs = [Cell(_published(published.get(column))) for column in columns]
    found = [[*map(Cell, key), Cell("published"), *theirs]]
    for line in ours:
        cells = [_measured(line.numbers.get(column)) for column in columns]
        found.append([*map(Cell, key), Cell(line.label), *cells])
    return found


def _published(number: Published | None) -> str:
    if number is None or number.certainty == "own":
        return NOT_PUBLISHED
    if number.value is None:
        return NOT_AVAILABLE
    mark = MARKS.get(number.certainty)
    return f"{number.value} ({mark})" if mark else number.value


def _measured(number: Measured | None) -> Cell:
    if number is None:
        return Cell(NOT_MEASURED)
    deviation = float("nan") if number.deviation is None else number.deviation
    return Cell(str(with_deviation(number.mean, deviation)), number.runs)
