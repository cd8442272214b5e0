"""Costs as tidy rows: one number each, with its unit, its convention and its source."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

Number = int | float

NETWORK = "network"  #: The layer of a row that belongs to no single layer.

#: Units of ratios and extremes: such rows have no sum over layers. `total` keeps those of the whole network.
RATIO_UNITS = ("1", "%", "LSB", "level", "bit/entry", "MAC/bit", "MAC/cycle", "MHz")


class Entry(NamedTuple):
    """One number: what was counted (`quantity`) of which part of a layer, by what convention and source."""

    layer: str
    part: str
    quantity: str
    value: Number
    unit: str
    convention: str
    source: str


@dataclass(frozen=True)
class CostTable:
    """Entries, in order; every operation returns a new table."""

    entries: tuple[Entry, ...] = ()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __add__(self, other: "CostTable") -> "CostTable":
        return CostTable(self.entries + other.entries)

    def rows(self) -> list[dict[str, str | Number]]:
        """Return the entries as dictionaries, for output and for run records."""
        return [entry._asdict() for entry in self.entries]

    def filter(self, **fields: str | Iterable[str]) -> "CostTable":
        """Return the entries whose fields have the given value, or one of several: `filter(quantity="macs")`.

        Raises:
            ValueError: a field that entries do not have.
        """
        _check_fields(fields)
        wanted = [(field, {value} if isinstance(value, str) else set(value)) for field, value in fields.items()]
        return CostTable(tuple(e for e in self.entries if all(getattr(e, f) in values for f, values in wanted)))

    def by(self, *fields: str) -> "CostTable":
        """Return sums over everything but the given fields: `by("layer")` has one entry per layer and quantity.

        Quantity, unit and convention are always kept apart. A ratio is kept where it describes a whole group, and
        left out where the group has several: ratios cannot be added.

        Raises:
            ValueError: a field that entries do not have.
        """
        _check_fields(fields)
        groups: dict[tuple[str, ...], list[Entry]] = {}
        for entry in self.entries:
            key = tuple(getattr(entry, field) for field in (*fields, "quantity", "unit", "convention"))
            groups.setdefault(key, []).append(entry)
        sums = (_sum(group, fields) for group in groups.values())
        return CostTable(tuple(entry for entry in sums if entry is not None))

    def total(self) -> "CostTable":
        """Return sums over layers and parts, one entry per quantity and convention.

        Of ratios (utilization, a percentage) the entries of the whole network follow, one for each part.
        """
        sums = CostTable(tuple(entry for entry in self.entries if _additive(entry)))
        ratios = CostTable(tuple(e for e in self.entries if e.layer == NETWORK and not _additive(e)))
        return sums.by() + ratios.by("part")

    def value(self, quantity: str, **fields: str | Iterable[str]) -> Number:
        """Return the sum of one quantity, over the entries that `filter` keeps.

        Raises:
            ValueError: no such entry, or entries of several units or conventions, which cannot be added.
        """
        chosen = self.filter(quantity=quantity, **fields)
        kinds = sorted({(entry.unit, entry.convention) for entry in chosen})
        if len(kinds) != 1:
            found = "; ".join(f"{convention} [{unit}]" for unit, convention in kinds) or "none"
            raise ValueError(f"{quantity} needs entries of one unit and convention, got {found}")
        if len(chosen) > 1 and kinds[0][0] in RATIO_UNITS:
            raise ValueError(f"{quantity} is a ratio [{kinds[0][0]}]; {len(chosen)} of them cannot be added")
        return sum(entry.value for entry in chosen)

    def compare(self, other: "CostTable", names: tuple[str, str] = ("this", "other")) -> list[dict[str, object]]:
        """Return one row per entry of either table, with both values side by side and other / this as `ratio`."""
        rows = columns({names[0]: self, names[1]: other})
        return [{**row, "ratio": _ratio(row[names[1]], row[names[0]])} for row in rows]


def columns(tables: Mapping[str, CostTable]) -> list[dict[str, str | Number | None]]:
    """Return one row per (layer, part, quantity, unit, convention), with each table's value in a column of its name.

    Where a table has no such entry the value is None; entries that differ in their source only are added.
    """
    rows: dict[tuple[str, ...], dict[str, str | Number | None]] = {}
    for name, table in tables.items():
        for entry in table.by("layer", "part"):
            key = (entry.layer, entry.part, entry.quantity, entry.unit, entry.convention)
            empty: dict[str, str | Number | None] = dict(
                zip(("layer", "part", "quantity", "unit", "convention"), key, strict=True)
            )
            rows.setdefault(key, {**empty, **dict.fromkeys(tables)})[name] = entry.value
    return list(rows.values())


def concatenate(tables: Iterable[CostTable]) -> CostTable:
    """Return all entries of the tables, in order."""
    return CostTable(tuple(entry for table in tables for entry in table))


def _check_fields(fields: Iterable[str]) -> None:
    for field in fields:
        if field not in Entry._fields:
            raise ValueError(f"entries have the fields {', '.join(Entry._fields)}, got {field!r}")


def _additive(entry: Entry) -> bool:
    return entry.unit not in RATIO_UNITS


def _sum(group: list[Entry], fields: tuple[str, ...]) -> Entry | None:
    first = group[0]
    if len(group) > 1 and not _additive(first):
        return None
    return first._replace(
        layer=first.layer if "layer" in fields else "total",
        part=first.part if "part" in fields else "all",
        value=sum(entry.value for entry in group),
        source="; ".join(dict.fromkeys(entry.source for entry in group if entry.source)),
    )


def _ratio(above: object, below: object) -> float | None:
    if isinstance(above, int | float) and isinstance(below, int | float) and below:
        return above / below
    return None
