"""POT x any integer levels: a sign and a barrel shifter."""

from amaranth.hdl import Module, Value

from hwsim.formats.signed_exponent import SignedExponent
from hwsim.multipliers import Multiplier
from hwsim.rtl.decoder import level
from hwsim.rtl.logic import named, negated_if, passed_if
from hwsim.rtl.multipliers.circuit import MultiplierCircuit


class ShiftCircuit(MultiplierCircuit):
    """Shift multiplier: the activation with the weight's sign, shifted left by the field less 1, 0 where it is 0.

    The sign is applied before the shift, where the number is narrow; the shifter shifts by the field and leaves the
    lowest bit out, which saves the subtraction.
    """

    def multiply(self, m: Module) -> Value:
        """Return ±(a << (f-1))."""
        activation = level(m, "a_level", self.multiplier.activation, self.a)
        field, used = exponent_field(self.multiplier, self.w)
        operand = named(m, "signed_a", passed_if(used, negated_if(self.w[-1], activation)))
        return (operand << field) >> 1


def exponent_field(multiplier: Multiplier, code: Value) -> tuple[Value, Value]:
    """Return the weight's field as narrow as the used exponents need, and whether the code names a magnitude."""
    fmt = multiplier.weight
    assert isinstance(fmt, SignedExponent)
    field = code[:-1]
    used = field != 0
    if fmt.magnitudes < (1 << len(field)) - 1:
        used &= field <= fmt.magnitudes
    return field[: fmt.magnitudes.bit_length()], used
