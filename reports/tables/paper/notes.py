"""What stands below a published table: budgets, marks, contradictions, sources, and what our runs show."""

from collections.abc import Collection, Iterable, Sequence

from reports.published import PAPER_TABLES, Published
from reports.published.table import CERTAINTIES, column_heading
from reports.run_groups import RunGroup
from reports.statement import statement
from reports.tables.paper.computed import COMPUTED
from reports.tables.paper.matching import matching
from reports.tables.paper.ours import column_of, comparisons

NOT_PUBLISHED, NOT_AVAILABLE, NOT_MEASURED = "–", "not available", "not measured"  # noqa: RUF001
MARKS = {"inferred": "i", "unchecked": "u", "disputed": "d"}  #: Put behind a number of which this is to be known.
MISSING = {
    NOT_PUBLISHED: "the source prints none, or none of its numbers is at hand",
    NOT_AVAILABLE: CERTAINTIES["unavailable"],
    NOT_MEASURED: "none of the given runs is of that row and width",
}


def notes(name: str, numbers: Sequence[Published], groups: Sequence[RunGroup], shown: Collection[str]) -> list[str]:
    """Return the notes of a table.

    Args:
        name: of the table.
        numbers: what is published.
        groups: our designs.
        shown: texts of its cells: only what occurs is explained.
    """
    table = PAPER_TABLES[name]
    marks = {number.certainty for number in numbers} & MARKS.keys()
    used = _used(numbers, groups)
    sources = dict.fromkeys(number.source for number in numbers)
    return [
        f"Training behind the published numbers: {table.budget}. {_our_budget(name, groups, used)}",
        *(f"{text}: {meaning}." for text, meaning in MISSING.items() if text in shown),
        *(f"({MARKS[certainty]}): {CERTAINTIES[certainty]}." for certainty in sorted(marks)),
        *table.notes,
        *_remarks(numbers),
        *(f"Ours, {one.design} against {one.baseline}: {statement(one)}." for one in comparisons(used)),
        f"Sources: {'; '.join(sources)}.",
    ]


def _remarks(numbers: Iterable[Published]) -> list[str]:
    """Return the notes on numbers, one that several of a row share once and without their columns."""
    found: dict[tuple[str, str], list[str]] = {}
    for number in numbers:
        if number.note:
            found.setdefault((f"{number.method} ({number.model})", number.note), []).append(
                column_heading(number.column)
            )
    return [
        f"{row}{', ' + headings[0] if len(headings) == 1 else ''}: {note}." for (row, note), headings in found.items()
    ]


def _used(numbers: Iterable[Published], groups: Sequence[RunGroup]) -> list[RunGroup]:
    """Return the designs that have a cell in the table."""
    columns = {number.column for number in numbers}
    keys = dict.fromkeys(number.row for number in numbers)
    found = {group.name: group for key in keys for group in matching(groups, *key) if column_of(group) in columns}
    return list(found.values())


def _our_budget(name: str, groups: Sequence[RunGroup], used: Sequence[RunGroup]) -> str:
    if name in COMPUTED:
        return "Ours is computed."
    if not used:
        return f"{'None of the given runs belongs here' if groups else 'No runs were given'}: nothing of ours is shown."
    return (
        "Each line of ours says its own: with a shorter training it neither confirms nor contradicts what is "
        "published. Ours is the integer network on all test images, mean and sample standard deviation over the seeds; "
        "under float the network that training started from."
    )
