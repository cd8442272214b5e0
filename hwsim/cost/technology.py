"""What one operation or one memory access costs in energy, read off a sourced table."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

from hwsim.cost.constants import TABLES, Constant, load_table
from hwsim.errors import unknown_name

ENERGY_UNIT = "pJ"


class MissingConstantError(ValueError):
    """A technology has no row for what was asked: no number without a row."""


@dataclass(frozen=True)
class Price:
    """An energy in pJ with its provenance: source, notes, and how it was interpolated."""

    energy_pj: float
    source: str


@dataclass(frozen=True)
class Technology:
    """A table of energies.

    Between the widths of two rows energy is linear in the bits (in the product of both widths for multiplications);
    below the narrowest row, and above the widest, it is in proportion to them. SRAM reads are interpolated between
    capacities as powers of the capacity; below the smallest and above the largest they cost what those cost.

    Raises:
        ValueError: the table is unknown.
    """

    name: str

    def __post_init__(self) -> None:
        _ = self.rows

    @cached_property
    def rows(self) -> dict[str, tuple[Constant, ...]]:
        """Rows in pJ by name."""
        if self.name not in TECHNOLOGIES:
            raise unknown_name("technology", self.name, TECHNOLOGIES)
        rows: dict[str, tuple[Constant, ...]] = {}
        for row in load_table(self.name):
            rows[row.name] = (*rows.get(row.name, ()), row)
        return rows

    def operation(self, name: str, bits: int, other_bits: int | None = None) -> Price:
        """Return the price of one operation: `int_multiply` of 4 x 8 bits, `shift` of 12 bits, ...

        Raises:
            MissingConstantError: there is no row of that name.
        """
        return _operation(self, name, bits, other_bits)

    def access(self, name: str, bits: float, capacity_bits: int | None = None) -> Price:
        """Return the price of reading or writing `bits` of a memory: `sram_read`, `sram_write`, `dram_access`.

        Raises:
            MissingConstantError: there is no row of that name.
        """
        rows = self.named(name)
        price = _by_capacity(rows, capacity_bits) if capacity_bits else Price(rows[0].value, rows[0].provenance)
        return Price(price.energy_pj * bits / (rows[0].bits or 1), price.source)

    def named(self, name: str) -> tuple[Constant, ...]:
        """Return the rows of that name, by ascending size.

        Raises:
            MissingConstantError: there is none.
        """
        if name not in self.rows:
            others = [other for other in TECHNOLOGIES if any(row.name == name for row in load_table(other))]
            raise MissingConstantError(
                f"{self.name} has no row for {name}; those with one: {', '.join(others) or 'none'}"
            )
        return self.rows[name]


TECHNOLOGIES = {name: what for name, what in TABLES.items() if what.startswith("energy")}


@lru_cache(maxsize=4096)
def _operation(technology: Technology, name: str, bits: int, other_bits: int | None) -> Price:
    power = 1 if other_bits is None else 2
    points = [((row.bits or 1) ** power, row) for row in technology.named(name)]
    return _by_width(points, bits if other_bits is None else bits * other_bits)


def _by_width(points: list[tuple[int, Constant]], size: int) -> Price:
    (low, first), (high, last) = points[0], points[-1]
    for (a, below), (b, above) in pairwise(points):
        if a <= size <= b:
            energy = below.value + (above.value - below.value) * (size - a) / (b - a)
            return Price(energy, _source(below, above, size in (a, b)))
    nearest, at = (first, low) if size < low else (last, high)
    return Price(nearest.value * size / at, _source(nearest, nearest, size == at))


def _by_capacity(rows: tuple[Constant, ...], capacity: int) -> Price:
    for below, above in pairwise(rows):
        a, b = below.capacity_bits or 1, above.capacity_bits or 1
        if a <= capacity <= b:
            share = math.log(capacity / a) / math.log(b / a)
            return Price(below.value * (above.value / below.value) ** share, _source(below, above, capacity in (a, b)))
    end = rows[0] if capacity < (rows[0].capacity_bits or 1) else rows[-1]
    return Price(end.value, _source(end, end, capacity == end.capacity_bits))


def _source(below: Constant, above: Constant, exact: bool) -> str:
    sources = below.provenance if below.provenance == above.provenance else f"{below.provenance}; {above.provenance}"
    return sources if exact else f"{sources}; interpolated"
