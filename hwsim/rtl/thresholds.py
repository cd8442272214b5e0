"""The bank of comparators: the datapath to codes of any levels, as the node Threshold does."""

import numpy as np
from amaranth.hdl import Const, Module, signed, unsigned
from amaranth.lib.wiring import In, Out

from hwsim.arithmetic import IntArray
from hwsim.formats import IntegerFormat
from hwsim.rtl.dot_product import tree_sum
from hwsim.rtl.logic import named
from hwsim.rtl.lookup import lookup
from hwsim.rtl.unit import Unit


class ThresholdCircuit(Unit):
    """Comparators without registers: the code of the level above as many others as thresholds are at most x.

    thresholds: integers, shape (format's count - 1,), not descending.

    Raises:
        ValueError: another number of thresholds, or thresholds that descend.
    """

    def __init__(self, format: IntegerFormat, thresholds: IntArray, x_bits: int) -> None:
        if thresholds.shape != (format.count - 1,) or (np.diff(thresholds) < 0).any():
            raise ValueError(f"{format.count - 1} thresholds that do not descend are needed, got {thresholds.tolist()}")
        self.format, self.thresholds = format, thresholds
        super().__init__({"x": In(signed(x_bits)), "code": Out(unsigned(format.code_bits))})

    def elaborate(self, platform: object) -> Module:
        """Return the logic."""
        m = Module()
        reached = [self.x >= threshold for threshold in self.thresholds.tolist()]
        rank = named(m, "rank", tree_sum(reached) if reached else Const(0, 1))
        m.d.comb += self.code.eq(lookup(m, "code_of_rank", rank, self.format.codes, unsigned(len(self.code))))
        return m

    def description(self) -> tuple[str, ...]:
        """Return what it computes."""
        return (
            "Quantizer by comparators: the code of the level above as many others as thresholds are at most x.",
            f"code of {self.format}; x: {len(self.x)} bits in two's complement",
            f"thresholds: {', '.join(map(str, self.thresholds.tolist()))}",
        )
