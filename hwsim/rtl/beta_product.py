"""ASQ's product: the multiplier of a rescaling times a sample's beta, as `hwsim.adapter.multiplied` does."""

from amaranth.hdl import Const, Module, signed, unsigned
from amaranth.lib.wiring import In, Out

from hwsim.rtl.requantizer import MULTIPLIER_BITS
from hwsim.rtl.rounding import rounded_shift
from hwsim.rtl.unit import Unit


class BetaProductCircuit(Unit):
    """Multiplier without registers: product = floor(multiplier * beta / 2^beta_bits + 1/2)."""

    def __init__(self, beta_bits: int = 16, multiplier_bits: int = MULTIPLIER_BITS) -> None:
        operands = {"multiplier": In(signed(multiplier_bits)), "beta": In(unsigned(beta_bits))}
        super().__init__({**operands, "product": Out(signed(multiplier_bits))})

    def elaborate(self, platform: object) -> Module:
        """Return the logic."""
        m = Module()
        shift = Const(len(self.beta))
        m.d.comb += self.product.eq(rounded_shift(m, self.multiplier * self.beta, shift, "half_up"))
        return m

    def description(self) -> tuple[str, ...]:
        """Return what it computes."""
        return (
            f"Product of ASQ: floor(multiplier * beta / 2^{len(self.beta)} + 1/2).",
            f"multiplier and product: {len(self.product)} bits in two's complement; beta: {len(self.beta)} bits",
        )
