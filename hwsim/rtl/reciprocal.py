"""ASQ's division: the multiplier of a quantizer divided by a sample's beta, as `hwsim.adapter.divided` does."""

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib.wiring import In, Out

from hwsim.errors import check_integer
from hwsim.rtl.logic import named
from hwsim.rtl.requantizer import MULTIPLIER_BITS
from hwsim.rtl.unit import Unit


class ReciprocalCircuit(Unit):
    """Divider, one bit per clock cycle: quotient = floor(multiplier / beta + 1/2), beta at least 1.

    `start` takes the operands, also in the middle of a division; `done` is 1 `cycles` edges later, and the quotient
    then holds until the next start. A negative dividend n is divided as its complement: floor(n / d) = ~(~n // d).

    Raises:
        ValueError: beta_bits outside 2..16 or multiplier_bits outside 2..32.
    """

    def __init__(self, beta_bits: int = 16, multiplier_bits: int = MULTIPLIER_BITS) -> None:
        check_integer("bits of beta", beta_bits, 2, 16)
        check_integer("bits of a requantizer's multiplier", multiplier_bits, 2, MULTIPLIER_BITS)
        operands = {"multiplier": In(signed(multiplier_bits)), "beta": In(unsigned(beta_bits))}
        results = {"done": Out(1), "quotient": Out(signed(multiplier_bits))}
        super().__init__({"start": In(1), **operands, **results})

    @property
    def cycles(self) -> int:
        """Clock cycles of a division: one for each bit of multiplier + beta / 2."""
        return max(len(self.multiplier), len(self.beta))

    def elaborate(self, platform: object) -> Module:
        """Return the logic: restoring division, the quotient's bits following the dividend's in one register."""
        m = Module()
        bits, negative = Signal(self.cycles), Signal()
        divisor, remainder = Signal.like(self.beta), Signal.like(self.beta)
        left = Signal(range(self.cycles + 1))
        dividend = named(m, "dividend", (self.multiplier << 1) + self.beta)
        difference = named(m, "difference", Cat(bits[-1], remainder) - divisor)
        fits = ~difference[-1]
        with m.If(self.start):
            m.d.sync += [divisor.eq(self.beta), remainder.eq(0), left.eq(self.cycles), negative.eq(dividend[-1])]
            m.d.sync += bits.eq((dividend ^ dividend[-1].replicate(len(dividend)).as_signed()) >> 1)
        with m.Elif(left != 0):
            m.d.sync += [left.eq(left - 1), bits.eq(Cat(fits, bits))]
            with m.If(fits):
                m.d.sync += remainder.eq(difference)
            with m.Else():
                m.d.sync += remainder.eq(Cat(bits[-1], remainder))
        m.d.comb += [self.done.eq(left == 0), self.quotient.eq(bits ^ negative.replicate(self.cycles))]
        return m

    def description(self) -> tuple[str, ...]:
        """Return what it computes."""
        return (
            "Divider of ASQ: quotient = floor(multiplier / beta + 1/2), one bit per clock cycle.",
            f"start takes multiplier ({len(self.multiplier)} bits in two's complement) and beta (1 .. "
            f"{(1 << len(self.beta)) - 1}); done is 1 {self.cycles} cycles later",
        )
