"""Uniform x uniform with half as many rows: Booth's recoding of the weight."""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hwsim.rtl.decoder import level
from hwsim.rtl.logic import named
from hwsim.rtl.multipliers.circuit import MultiplierCircuit


class BoothCircuit(MultiplierCircuit):
    """Booth multiplier, radix 4: two bits of the weight at a time make a digit -2 .. 2 (MacSorley, Proc. IRE, 1961)."""

    def multiply(self, m: Module) -> Value:
        """Return the sum of the activation times each digit, times 4^place."""
        weight = level(m, "w_level", self.multiplier.weight, self.w)
        activation = level(m, "a_level", self.multiplier.activation, self.a)
        total: Value = Const(0)
        for place, window in enumerate(windows(weight)):
            total = total + (digit_product(m, f"row{place}", window, activation) << 2 * place)
        return total


def windows(weight: Value) -> list[Value]:
    """Return the three bits that each digit is made of, lowest digit first: two of its own and the one below."""
    signed = bool(weight.shape().signed)
    digits = (len(weight) + 1) // 2 if signed else len(weight) // 2 + 1
    above = weight[-1] if signed else Const(0, 1)
    bits = Cat(Const(0, 1), weight, above, above)
    return [bits[2 * i : 2 * i + 3] for i in range(digits)]


def digit_product(m: Module, name: str, window: Value, value: Value) -> Value:
    """Return the value times the digit b0 + b1 - 2 * b2: passed, doubled or blocked, and then inverted if negative."""
    one = window[0] ^ window[1]
    two = (window == 0b011) | (window == 0b100)
    magnitude = named(m, name, Mux(two, value << 1, Mux(one, value, 0)))
    width = len(magnitude) + 1
    extended = magnitude if magnitude.shape().signed else Cat(magnitude, 0)
    inverted = (extended ^ window[2].replicate(width).as_signed())[:width].as_signed()
    return inverted + window[2]
