"""Division by a power of two with rounding: the hardware of `hwsim.arithmetic.shift_right`."""

from collections.abc import Callable

from amaranth.hdl import Const, Module, Value

from hwsim.errors import unknown_name
from hwsim.rtl.logic import named

#: The bit to add to the floor, from the floor, the highest bit shifted out, and whether any bit below it is 1.
ROUNDING_BITS: dict[str, Callable[[Value, Value, Value], Value]] = {
    "half_up": lambda floor, half, rest: half,
    "half_even": lambda floor, half, rest: half & (rest | floor[0]),
    "floor": lambda floor, half, rest: Const(0, 1),
    "toward_zero": lambda floor, half, rest: floor[-1] & (half | rest),
}


def check_rounding(rounding: str) -> None:
    """Raise a ValueError unless there is a circuit for the rounding mode."""
    if rounding not in ROUNDING_BITS:
        raise unknown_name("rounding", rounding, ROUNDING_BITS)


def rounded_shift(m: Module, value: Value, shift: Value, rounding: str) -> Value:
    """Return value / 2**shift, rounded; the value is signed, the shift may be a constant.

    The value is shifted with one more bit below, which then holds the highest bit shifted out.
    """
    doubled = named(m, "doubled", value << 1)
    shifted = named(m, "shifted", doubled >> shift)
    ones = ((Const(1, 1) << shift) - 1)[: len(doubled)]
    rest = (doubled & ones).any()
    return (shifted >> 1) + ROUNDING_BITS[rounding](shifted >> 1, shifted[0], rest)
