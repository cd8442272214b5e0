"""The dot product: several multipliers and a tree of adders."""

from amaranth.hdl import Module, Value, signed
from amaranth.lib.wiring import In, Out

from hwsim.accumulator import exact_bits
from hwsim.errors import check_integer
from hwsim.multipliers import Multiplier
from hwsim.rtl.multipliers import circuit_for
from hwsim.rtl.unit import Unit

MAX_TERMS = 1024


class DotProduct(Unit):
    """Sum of products without registers: one multiplier per pair of codes, added in pairs, pairs of pairs, and so on.

    w and a hold the codes of all pairs, the first in the lowest bits. The sum is as wide as it needs: nothing can
    overflow.

    Raises:
        ValueError: terms outside 1..1024.
    """

    def __init__(self, multiplier: Multiplier, terms: int, style: str | None = None) -> None:
        check_integer("terms of a dot product", terms, 1, MAX_TERMS)
        self.circuits = [circuit_for(multiplier, style) for _ in range(terms)]
        widths = {"w": multiplier.weight.code_bits, "a": multiplier.activation.code_bits}
        codes = {name: In(bits * terms) for name, bits in widths.items()}
        super().__init__({**codes, "sum": Out(signed(exact_bits(multiplier, terms)))})

    def elaborate(self, platform: object) -> Module:
        """Return the logic."""
        m = Module()
        for place, circuit in enumerate(self.circuits):
            m.submodules[f"multiplier{place}"] = circuit
            m.d.comb += circuit.w.eq(self.w.word_select(place, len(circuit.w)))
            m.d.comb += circuit.a.eq(self.a.word_select(place, len(circuit.a)))
        m.d.comb += self.sum.eq(tree_sum([circuit.product for circuit in self.circuits]))
        return m

    def description(self) -> tuple[str, ...]:
        """Return what it computes."""
        return (
            f"Dot product of {len(self.circuits)} pairs of codes, the first pair in the lowest bits of w and a.",
            f"sum: {len(self.sum)} bits in two's complement, exact",
            *self.circuits[0].description(),
        )


def tree_sum(values: list[Value]) -> Value:
    """Return the sum, added in pairs."""
    while len(values) > 1:
        pairs = [sum(values[i : i + 2][1:], values[i]) for i in range(0, len(values), 2)]
        values = pairs
    return values[0]
