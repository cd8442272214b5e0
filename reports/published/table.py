"""A table that a paper prints, as data: one row per number, each with its source and how sure it is."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

FLOAT_BITS = 32
WIDTHS = (1, 2, 3, 4, 5, 8, FLOAT_BITS)  #: Bits that some method is published with.
COLUMNS = ("data", "model", "method", "weight_bits", "act_bits", "quantity", "value", "certainty", "source", "note")
QUANTITIES = {
    "top1": "top-1",
    "top5": "top-5",
    "parameters_overhead": "parameters",
    "compute_overhead": "compute",
}

#: How sure a number is -> what that means.
CERTAINTIES = {
    "printed": "as the source prints it",
    "inferred": "a printed number; that its row is this method is inferred",
    "unchecked": "quoted second-hand or from memory, not checked against the source",
    "disputed": "another source says otherwise",
    "unavailable": "the source has a number that is not available here",
    "own": "not in the source: a row for what is measured here",
}
VALUELESS = ("unavailable", "own")


@dataclass(frozen=True)
class Published:
    """One number of a published table.

    Attributes:
        data: data set, as papers call it.
        model: network, likewise.
        method: the row's name.
        weight_bits: bits of a weight, 32 for float.
        act_bits: bits of an activation, 32 for float.
        quantity: one of `QUANTITIES`.
        value: in percent, as printed; None: not known here.
        certainty: one of `CERTAINTIES`.
        source: where the number was taken from.
        note: what is to be known of it, if anything.
    """

    data: str
    model: str
    method: str
    weight_bits: int
    act_bits: int
    quantity: str
    value: str | None
    certainty: str
    source: str
    note: str

    @property
    def row(self) -> tuple[str, str, str]:
        """Data, model and method: numbers that have them in common stand in one row."""
        return self.data, self.model, self.method

    @property
    def column(self) -> tuple[str, int, int]:
        """Quantity and widths: numbers that have them in common stand in one column."""
        return self.quantity, self.weight_bits, self.act_bits


def column_heading(column: tuple[str, int, int]) -> str:
    """Return what a column is called: the quantity, and weight and activation bits.

    >>> column_heading(("top1", 4, 4)), column_heading(("top1", 32, 32)), column_heading(("top5", 2, 32))
    ('top-1 4/4', 'top-1 float', 'top-5 2/float')
    """
    quantity, *bits = column
    weight_bits, act_bits = ("float" if width == FLOAT_BITS else str(width) for width in bits)
    return (
        f"{QUANTITIES[quantity]} {weight_bits if weight_bits == act_bits == 'float' else f'{weight_bits}/{act_bits}'}"
    )


@dataclass(frozen=True)
class PaperTable:
    """What is said of a published table beside its numbers.

    Attributes:
        title: what it shows, with the paper.
        budget: how long its networks were trained.
        notes: where it contradicts itself or others, and what was inferred.
    """

    title: str
    budget: str
    notes: tuple[str, ...] = ()


@cache
def read_published(name: str) -> tuple[Published, ...]:
    """Return the numbers of a shipped table, in the order of its file.

    Raises:
        FileNotFoundError: no such table is shipped.
    """
    return parse_published((files("reports.published") / f"{name}.csv").read_text(encoding="utf-8"), name)


def parse_published(text: str, name: str) -> tuple[Published, ...]:
    """Return the numbers of a table given as CSV.

    Raises:
        ValueError: the columns are others, a row breaks a rule, or a number stands there twice; its line is named.
    """
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise ValueError(f"the table {name} must have the columns {', '.join(COLUMNS)}, got {reader.fieldnames}")
    found: dict[tuple[object, ...], Published] = {}
    for line, row in enumerate(reader, start=2):
        problem = _problem(row)
        if problem:
            raise ValueError(f"line {line} of the table {name}: {problem}")
        number = _parsed(row)
        if (*number.row, *number.column) in found:
            raise ValueError(f"line {line} of the table {name}: {', '.join(number.row)} has this number twice")
        found[*number.row, *number.column] = number
    return tuple(found.values())


def _parsed(row: dict[str, str]) -> Published:
    return Published(
        row["data"],
        row["model"],
        row["method"],
        int(row["weight_bits"]),
        int(row["act_bits"]),
        row["quantity"],
        row["value"] or None,
        row["certainty"],
        row["source"],
        row["note"],
    )


def _problem(row: dict[str, str]) -> str | None:
    """Say which rule the row breaks, None if it breaks none."""
    for name in ("data", "model", "method", "source"):
        if not row[name]:
            return f"{name} is missing"
    for name in ("weight_bits", "act_bits"):
        if row[name] not in map(str, WIDTHS):
            return f"{name} must be one of {', '.join(map(str, WIDTHS))}, got {row[name]!r}"
    for name, known in {"quantity": QUANTITIES, "certainty": CERTAINTIES}.items():
        if row[name] not in known:
            return f"{name} must be one of {', '.join(known)}, got {row[name]!r}"
    return _value_problem(row["value"], row["certainty"])


def _value_problem(value: str, certainty: str) -> str | None:
    if certainty in VALUELESS:
        return f"a number that is {certainty} has no value, got {value!r}" if value else None
    try:
        in_range = 0 <= float(value) <= 100
    except ValueError:
        in_range = False
    return None if in_range else f"value must be a percentage in 0..100, got {value!r}"
