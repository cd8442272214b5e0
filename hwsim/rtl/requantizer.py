"""The requantizer: sums to the datapath, as the nodes Rescale and AvgPool do."""

from amaranth.hdl import Module, signed, unsigned
from amaranth.lib.wiring import In, Out

from hwsim.arithmetic import MAX_MULTIPLIER_BITS, MAX_SHIFT, MAX_WIDTH
from hwsim.errors import check_integer
from hwsim.rtl.logic import fitted
from hwsim.rtl.rounding import check_rounding, rounded_shift
from hwsim.rtl.unit import Unit

MULTIPLIER_BITS = MAX_MULTIPLIER_BITS + 1  #: Of the port, its sign included.
SHIFT_BITS = MAX_SHIFT.bit_length()


class RequantizerCircuit(Unit):
    """Fixed-point scaling without registers: y = saturate(round(x * multiplier / 2^shift) + bias).

    multiplier, shift and bias are ports, since each channel has its own. x_bits: of the sum; y_bits: of the datapath;
    multiplier_bits: with the sign, at most 32.

    Raises:
        ValueError: widths outside 2..63 (multiplier: 2..32), or an unknown rounding mode.
    """

    def __init__(
        self, x_bits: int, y_bits: int, multiplier_bits: int = MULTIPLIER_BITS, rounding: str = "half_up"
    ) -> None:
        check_integer("bits of a requantizer's input", x_bits, 2, MAX_WIDTH)
        check_integer("bits of a requantizer's output", y_bits, 2, MAX_WIDTH)
        check_integer("bits of a requantizer's multiplier", multiplier_bits, 2, MULTIPLIER_BITS)
        check_rounding(rounding)
        self.rounding = rounding
        scale = {"multiplier": In(signed(multiplier_bits)), "shift": In(unsigned(SHIFT_BITS))}
        ports = {"x": In(signed(x_bits)), **scale, "bias": In(signed(y_bits)), "y": Out(signed(y_bits))}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        """Return the logic."""
        m = Module()
        scaled = rounded_shift(m, self.x * self.multiplier, self.shift, self.rounding)
        m.d.comb += self.y.eq(fitted(scaled + self.bias, len(self.y), "saturate"))
        return m

    def description(self) -> tuple[str, ...]:
        """Return what it computes."""
        return (
            f"Requantizer: y = saturate(round(x * multiplier / 2^shift) + bias), rounding {self.rounding}.",
            f"x: {len(self.x)} bits, multiplier: {len(self.multiplier)} bits, bias and y: {len(self.y)} bits, all in "
            f"two's complement; shift: 0 .. {MAX_SHIFT}",
        )
