"""Cost tables as the rows that people print: totals, layers, and designs side by side."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hwsim.cost.table import NETWORK, CostTable, Entry, columns
from hwsim.output import Value
from hwsim.workload import Workload
from hwsim.workloads.quantized import FAMILIES, Precision, quantized

Rows = list[dict[str, Value]]


def totals(table: CostTable) -> Rows:
    """Return one row per quantity and convention: quantity, value, unit, convention, source.

    A ratio of several parts of the network, such as an overhead at several widths, has a row `quantity, part` for each.
    """
    return [_without(entry, "layer", "part") for entry in _named_by_part(table.total())]


def by_layer(table: CostTable) -> Rows:
    """Return one row per layer with a column `quantity [unit]` per quantity.

    A quantity that is counted under several conventions has a column `quantity [unit, convention]` for each. What
    belongs to the whole network, such as a product table, stands in a row `network` at the end.
    """
    entries = table.by("layer").entries
    conventions: dict[str, set[str]] = {}
    for entry in entries:
        conventions.setdefault(entry.quantity, set()).add(entry.convention)
    rows: dict[str, dict[str, Value]] = {}
    for entry in sorted(entries, key=lambda entry: entry.layer == NETWORK):
        several = f", {entry.convention}" if len(conventions[entry.quantity]) > 1 else ""
        rows.setdefault(entry.layer, {"layer": entry.layer})[f"{entry.quantity} [{entry.unit}{several}]"] = entry.value
    return list(rows.values())


def side_by_side(tables: Mapping[str, CostTable], per_layer: bool = False) -> Rows:
    """Return one row per quantity (and layer), with each design's value in a column of its name."""
    summed = {name: table.by("layer") if per_layer else _named_by_part(table.total()) for name, table in tables.items()}
    kept = ("layer", "quantity", "unit", "convention") if per_layer else ("quantity", "unit", "convention")
    return [{key: _value(row[key]) for key in (*kept, *tables)} for row in columns(summed)]


def precisions(
    weights: Iterable[str], bits: Iterable[int], act_bits: Sequence[int] | None = None, **options: Any
) -> dict[str, Precision]:
    """Return the precisions of all weight formats and widths by name; act_bits pairs with bits, None is the same.

    options: further fields of `Precision`, for the formats that have them.

    Raises:
        ValueError: as many act_bits as bits are needed (or one for all), or a precision cannot be.
    """
    widths = list(bits)
    pairs = list(act_bits) * len(widths) if act_bits and len(act_bits) == 1 else list(act_bits or widths)
    if len(pairs) != len(widths):
        raise ValueError(f"give one act-bits for all or one per bits, got {len(pairs)} for {len(widths)}")
    chosen = [
        Precision(name, b, a, **_known(name, options)) for name in weights for b, a in zip(widths, pairs, strict=True)
    ]
    return {precision.name: precision for precision in chosen}


def at_precisions(workload: Workload, chosen: Mapping[str, Precision], **options: Any) -> dict[str, Workload]:
    """Return the workload at each precision; options are those of `quantized`."""
    return {name: quantized(workload, precision, **options) for name, precision in chosen.items()}


def _named_by_part(table: CostTable) -> CostTable:
    """Put the part into the quantity's name where one quantity and convention has several."""
    found = Counter((entry.quantity, entry.convention) for entry in table)
    several = {key for key, number in found.items() if number > 1}
    return CostTable(
        tuple(
            entry._replace(quantity=f"{entry.quantity}, {entry.part}")
            if (entry.quantity, entry.convention) in several
            else entry
            for entry in table
        )
    )


def _known(weights: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what belongs to formats that are not this one."""
    foreign = set() if weights == "post" else {"fraction_bits", "layout"}
    if not FAMILIES.get(weights, True):
        foreign |= {"exponents", "extended"}
    return {name: value for name, value in options.items() if name not in foreign}


def _without(entry: Entry, *fields: str) -> dict[str, Value]:
    return {field: value for field, value in entry._asdict().items() if field not in fields}


def _value(value: object) -> Value:
    return value if isinstance(value, str | int | float) else None
