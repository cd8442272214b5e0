"""The activation quantizer: the datapath to codes of consecutive levels, as the node Quantize does."""

from amaranth.hdl import Module, signed, unsigned
from amaranth.lib.wiring import In, Out

from hwsim.formats import Offset, Uniform
from hwsim.rtl.logic import clipped
from hwsim.rtl.requantizer import MULTIPLIER_BITS, SHIFT_BITS
from hwsim.rtl.rounding import check_rounding, rounded_shift
from hwsim.rtl.unit import Unit


class QuantizerCircuit(Unit):
    """Quantizer without registers: code of clip(round((x - offset) * multiplier / 2^shift), lowest, highest level).

    format: uniform, or uniform with a zero point. offset: a constant in units of the datapath. multiplier and shift
    are ports, as each channel, and with ASQ each sample, may have its own.

    Raises:
        ValueError: an unknown rounding mode.
    """

    def __init__(self, format: Uniform | Offset, x_bits: int, offset: int = 0, rounding: str = "half_up") -> None:
        check_rounding(rounding)
        self.format, self.offset, self.rounding = format, offset, rounding
        scale = {"multiplier": In(signed(MULTIPLIER_BITS)), "shift": In(unsigned(SHIFT_BITS))}
        super().__init__({"x": In(signed(x_bits)), **scale, "code": Out(unsigned(format.bits))})

    def elaborate(self, platform: object) -> Module:
        """Return the logic."""
        m = Module()
        scaled = rounded_shift(m, (self.x - self.offset) * self.multiplier, self.shift, self.rounding)
        level = clipped(scaled, int(self.format.min_level), int(self.format.max_level))
        m.d.comb += self.code.eq(level + (self.format.zero_code or 0))
        return m

    def description(self) -> tuple[str, ...]:
        """Return what it computes."""
        low, high = int(self.format.min_level), int(self.format.max_level)
        return (
            f"Quantizer: code of clip(round((x - {self.offset}) * multiplier / 2^shift), {low}, {high}).",
            f"rounding {self.rounding}; code of {self.format}; x: {len(self.x)} bits in two's complement",
        )
