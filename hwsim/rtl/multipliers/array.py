"""Uniform x uniform: an array of AND gates and the adders that sum its rows."""

from amaranth.hdl import Cat, Const, Module, Value

from hwsim.rtl.decoder import level
from hwsim.rtl.multipliers.circuit import MultiplierCircuit


class ArrayCircuit(MultiplierCircuit):
    """Array multiplier: an AND gate per pair of bits, rows summed by adders (Baugh-Wooley where signed).

    A codebook's or another decoded level takes the place of the weight, so this is the codebook multiplier too.
    """

    def multiply(self, m: Module) -> Value:
        """Return the sum of the rows."""
        weight = level(m, "w_level", self.multiplier.weight, self.w)
        return array_product(weight, level(m, "a_level", self.multiplier.activation, self.a), self.product_bits)


def array_product(x: Value, y: Value, bits: int) -> Value:
    """Return the lowest bits of x * y, a row of AND gates for each bit of x.

    A pair of bits of which one is a sign bit counts negatively: its complement is added and 1 taken off, at its place;
    these ones make one constant (Baugh and Wooley, IEEE Trans. Computers C-22(12), 1973).
    """
    total: Value = Const(0)
    correction = 0
    for i in range(len(x)):
        row = [x[i] & y[j] for j in range(len(y))]
        for j in range(len(y)):
            if _is_sign(x, i) != _is_sign(y, j):
                row[j], correction = ~row[j], correction - (1 << (i + j))
        total = total + (Cat(row) << i)
    return total + Const(correction % (1 << bits), bits)


def _is_sign(value: Value, place: int) -> bool:
    return bool(value.shape().signed) and place == len(value) - 1
