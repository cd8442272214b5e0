"""Every constant of the cost models: rows of `tables/*.csv`, each with a unit and a source."""

import csv
import io
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

from hwsim.errors import unknown_name

COLUMNS = ("name", "bits", "capacity_bits", "value", "unit", "node_nm", "source", "note")

#: Shipped tables of constants, each with what it holds.
TABLES = {
    "horowitz2014": "energy at 45 nm, 0.9 V",
    "jouppi2021": "energy at 7 nm, quoted from memory",
    "aladdin": "energy at 40 nm, 1 ns; arithmetic only",
    "fpga7": "sizes of 7-series FPGA blocks",
}


@dataclass(frozen=True)
class Constant:
    """One number of the literature.

    bits and capacity_bits say what it was measured on (operand width; memory size), node_nm at which technology. note
    says what was derived or assumed, and how.
    """

    name: str
    value: float
    unit: str
    source: str
    bits: int | None = None
    capacity_bits: int | None = None
    node_nm: float | None = None
    note: str = ""

    @property
    def provenance(self) -> str:
        """Source and note in one text."""
        return f"{self.source} ({self.note})" if self.note else self.source


@cache
def load_table(name: str) -> tuple[Constant, ...]:
    """Return the rows of a shipped table.

    Raises:
        ValueError: the name is not in `TABLES`, or a row is not in order.
    """
    if name not in TABLES:
        raise unknown_name("table of constants", name, TABLES)
    path = resources.files("hwsim.cost").joinpath("tables", f"{name}.csv")
    return parse_table(path.read_text(encoding="utf-8"), f"{name}.csv")


def parse_table(text: str, where: str) -> tuple[Constant, ...]:
    """Return the rows of a CSV text with the columns `COLUMNS`; `where` names it in messages.

    Raises:
        ValueError: a column is missing, a row has no name, unit or source, or a number is not one; the row is named.
    """
    reader = csv.DictReader(io.StringIO(text))
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"{where}: no column {missing[0]!r} (columns are {', '.join(COLUMNS)})")
    return tuple(_constant(row, f"{where}, row {i} ({row['name']})") for i, row in enumerate(reader, start=1))


def constant(table: str, name: str) -> Constant:
    """Return the only row of that name.

    Raises:
        ValueError: the table has none, or several.
    """
    rows = [row for row in load_table(table) if row.name == name]
    if not rows:
        raise unknown_name(f"constant of {table}", name, {row.name for row in load_table(table)})
    if len(rows) > 1:
        raise ValueError(f"{table} has {len(rows)} rows {name!r}")
    return rows[0]


def _constant(row: dict[str, str | None], where: str) -> Constant:
    cells = {column: (row[column] or "").strip() for column in COLUMNS}
    for column in ("name", "value", "unit", "source"):
        if not cells[column]:
            raise ValueError(f"{where}: a constant needs a {column}")
    bits, capacity = (_whole(cells[column], column, where) for column in ("bits", "capacity_bits"))
    value = _number(cells["value"], "value", where)
    node = _number(cells["node_nm"], "node_nm", where) if cells["node_nm"] else None
    return Constant(cells["name"], value, cells["unit"], cells["source"], bits, capacity, node, cells["note"])


def _number(text: str, column: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{where}: {column} must be a number of at least 0, got {text!r}")
    return value


def _whole(text: str, column: str, where: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(f"{where}: {column} must be a positive integer, got {text!r}")
    return int(text)
