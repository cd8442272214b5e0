"""A published table with ours beside it, for programs: a row per number."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hwsim.output import Row
from reports.links import relative_path
from reports.published import Published
from reports.tables.paper.notes import NOT_MEASURED
from reports.tables.paper.ours import Column, Ours

RowKey = tuple[str, str, str]  #: Data, model and method.


def number_rows(
    key: RowKey, published: Mapping[Column, Published], ours: Sequence[Ours], columns: Iterable[Column], home: Path
) -> list[Row]:
    """Return the rows of one published row: for each column, one per line of ours, or one without ours.

    Columns in which there is neither a published number nor one of ours are left out.

    Args:
        key: data, model and method.
        published: its numbers by column.
        ours: the lines of ours that belong to it.
        columns: of the table.
        home: folder that the paths of records start from.
    """
    found: list[Row] = []
    for column in columns:
        number = published.get(column)
        lines: Sequence[Ours | None] = ours if number else [line for line in ours if column in line.numbers]
        if number and not lines:
            lines = [None]
        found += [{**_published_side(key, column, number), **_our_side(line, column, home)} for line in lines]
    return found


def _published_side(key: RowKey, column: Column, number: Published | None) -> Row:
    data, model, method = key
    quantity, weight_bits, act_bits = column
    return {
        "data": data,
        "model": model,
        "method": method,
        "weight_bits": weight_bits,
        "act_bits": act_bits,
        "quantity": quantity,
        "published": float(number.value) if number and number.value else None,
        "certainty": number.certainty if number else "none at hand",
        "source": number.source if number else None,
        "note": number.note or None if number else None,
    }


def _our_side(line: Ours | None, column: Column, home: Path) -> Row:
    found = line.numbers.get(column) if line else None
    if line is None or found is None:
        missing: Row = dict.fromkeys(("ours", "deviation", "seeds", "epochs", "design", "records"))
        return {"state": NOT_MEASURED, **missing}
    return {
        "state": "measured" if found.runs else "computed",
        "ours": found.mean,
        "deviation": found.deviation,
        "seeds": len(found.runs) or None,
        "epochs": line.epochs,
        "design": found.design,
        "records": ";".join(relative_path(path, home) for path in found.runs.values()) or None,
    }
