"""How products are stored and added up so that narrow vector lanes hold every sum: shifted, biased, clipped."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray, largest_magnitude
from hwsim.engines.table_layer import MARK, MARK_BITS, TableLayer
from hwsim.nodes import Pair

MOST_CLIPPED_BITS = 13  #: A register up to which any product, and the marking bits, can be clipped in 16-bit lanes.
INT16 = -(1 << 15), (1 << 15) - 1


@dataclass(frozen=True)
class SumPlan:
    """The types of the table's entries and of the sums, and what is stored in them.

    shift: how far products are shifted up; the bits below remember clipping if they are at least MARK_BITS.
    bias: what is taken off every product, and added for each tap at the start.
    ends: where each sum is clipped, None for the ends of the type or if none gets there.
    marks: whether clipping is remembered apart. reason: what the path says.
    """

    entry: type[np.integer[Any]]
    sums: type[np.signedinteger[Any]]
    reason: str
    shift: int = 0
    bias: int = 0
    ends: Pair | None = None
    marks: bool = False

    @property
    def entry_bytes(self) -> int:
        """Size of an entry."""
        return np.dtype(self.entry).itemsize

    @property
    def sum_bytes(self) -> int:
        """Size of a sum."""
        return np.dtype(self.sums).itemsize

    @property
    def mark_bits(self) -> int:
        """Bits below the register that remember clipping."""
        return self.shift if self.shift >= MARK_BITS else 0

    def entries(self, table: IntArray) -> NDArray[Any]:
        """Return a table's products as they are stored."""
        stored = (table << self.shift) - self.bias
        if self.ends and self.sums is np.int16:
            stored = stored.clip(*INT16)  # such a product takes any register to its end
        return stored.astype(self.entry)

    def largest_entry(self, table: IntArray) -> int:
        """Return the largest magnitude that is stored."""
        return largest_magnitude(self.entries(table).astype(np.int64))

    def start(self, terms: int) -> int:
        """Return what a sum of so many products starts with."""
        return int(np.int64(self.bias * terms).astype(np.int32)) if self.bias else MARK if self.mark_bits else 0


def saturating_plan(layer: TableLayer) -> SumPlan | None:
    """Return how a register that can saturate is kept, or None if 32 bits cannot."""
    bits, largest, ends = layer.node.accumulator.bits, layer.largest_product, layer.marked_ends
    if bits <= 16 and largest << 16 - bits <= INT16[1]:
        shift = 16 - bits
        return SumPlan(np.int16, np.int16, "16-bit lanes, saturating additions", shift=shift, marks=shift < MARK_BITS)
    if bits <= MOST_CLIPPED_BITS:
        return SumPlan(np.int16, np.int16, "16-bit lanes, clipped additions", shift=MARK_BITS, ends=ends)
    if max(ends) + (largest << MARK_BITS) >= 1 << 31:
        return None
    return SumPlan(np.int32, np.int32, "32-bit lanes, clipped additions", shift=MARK_BITS, ends=ends)
