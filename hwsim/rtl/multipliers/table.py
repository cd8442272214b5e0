"""POST x any integer levels: a shift for even exponents, a table for odd ones."""

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Value

from hwsim.arithmetic import IntArray
from hwsim.multipliers import LookupTableMultiplier
from hwsim.rtl.decoder import level
from hwsim.rtl.logic import named, negated_if, passed_if, value_shape
from hwsim.rtl.lookup import lookup
from hwsim.rtl.multipliers.circuit import MultiplierCircuit
from hwsim.rtl.multipliers.shift import exponent_field


class TableCircuit(MultiplierCircuit):
    """Look-up table multiplier: shifts for odd fields (even exponents), a table read for even ones.

    Layout `shared`: the activation or its table entry is chosen, signed and then shifted. Layout `full`: the table
    holds each odd exponent's column, and the sign comes last.
    """

    multiplier: LookupTableMultiplier

    def multiply(self, m: Module) -> Value:
        """Return the shifted activation or the table's entry with the weight's sign."""
        activation = level(m, "a_level", self.multiplier.activation, self.a)
        field, used = exponent_field(self.multiplier, self.w)
        make = self._shared if self.multiplier.layout == "shared" else self._full
        return make(m, activation, field, used)

    def _shared(self, m: Module, activation: Value, field: Value, used: Value) -> Value:
        """Return ((2^(k+1) a or the entry) << f/2) >> 1: the entry's field is even, so the bit left out is 0."""
        magnitude = activation << (self.multiplier.fraction_bits + 1)
        if len(self.multiplier.columns):
            entry = self._entry(m, self.a, self.multiplier.columns[0])
            magnitude = named(m, "magnitude", Mux(field[0], magnitude, entry))
        operand = named(m, "signed_magnitude", passed_if(used, negated_if(self.w[-1], magnitude)))
        return (operand << field[1:]) >> 1

    def _full(self, m: Module, activation: Value, field: Value, used: Value) -> Value:
        """Return (a << (f/2 + k)) or the entry of column f/2, which is 0 where f is 0 or unused, with the sign."""
        passed = named(m, "passed_a", passed_if(used, activation))
        magnitude = (passed << self.multiplier.fraction_bits) << field[1:]
        columns = self.multiplier.columns
        if len(columns):
            table = np.zeros((1 << (len(self.w) - 2), columns.shape[1]), dtype=np.int64)
            table[1 : 1 + len(columns)] = columns
            entry = self._entry(m, Cat(self.a, self.w[1:-1]), table.reshape(-1))
            magnitude = named(m, "magnitude", Mux(field[0], magnitude, entry))
        return negated_if(self.w[-1], magnitude)

    def _entry(self, m: Module, address: Value, contents: IntArray) -> Value:
        return lookup(m, "entry", address, contents, value_shape(int(contents.min()), int(contents.max())))
