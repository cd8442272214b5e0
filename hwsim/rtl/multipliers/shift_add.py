"""APoT x any integer levels: a few shifts and their sum."""

from amaranth.hdl import Const, Module, Mux, Signal, Value

from hwsim.formats import Apot
from hwsim.rtl.decoder import apot_fields, level
from hwsim.rtl.logic import named, negated_if
from hwsim.rtl.multipliers.circuit import MultiplierCircuit


class ShiftAddCircuit(MultiplierCircuit):
    """Shift-and-add multiplier: each field chooses a shift of the activation or 0, and the terms are summed.

    The sign is applied before, where the number is narrow.
    """

    def multiply(self, m: Module) -> Value:
        """Return ± the sum of the terms."""
        weight = self.multiplier.weight
        assert isinstance(weight, Apot)
        activation = level(m, "a_level", self.multiplier.activation, self.a)
        operand = named(m, "signed_a", negated_if(self.w[-1], activation)) if weight.signed else activation
        total: Value = Const(0)
        for place, (field, exponents) in enumerate(zip(apot_fields(weight, self.w), weight.exponents, strict=True)):
            total = total + _term(m, f"term{place}", operand, field, exponents)
        return total


def _term(m: Module, name: str, operand: Value, field: Value, exponents: tuple[int, ...]) -> Value:
    """Return 0 for field 0, the operand shifted by its f-th exponent for field f."""
    if len(exponents) == 1:
        return named(m, name, Mux(field, operand << exponents[0], 0))
    term = Signal((operand << exponents[-1]).shape(), name=name)
    with m.Switch(field):
        for place, exponent in enumerate(exponents, start=1):
            with m.Case(place):
                m.d.comb += term.eq(operand << exponent)
    return term
