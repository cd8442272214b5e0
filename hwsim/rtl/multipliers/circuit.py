"""What every multiplier circuit has: the ports, and the software multiplier that it must equal."""

from abc import abstractmethod
from functools import cached_property

from amaranth.hdl import Module, Value, signed
from amaranth.lib.wiring import In, Out

from hwsim.arithmetic import bits_for
from hwsim.multipliers import Multiplier
from hwsim.rtl.unit import Unit


class MultiplierCircuit(Unit):
    """A multiplier without registers: w (weight code) and a (activation code) in, product (two's complement) out.

    For every pair of bit patterns, used or not, the product is that of `multiplier.table()`.
    """

    def __init__(self, multiplier: Multiplier) -> None:
        self.multiplier = multiplier
        ports = {"w": In(multiplier.weight.code_bits), "a": In(multiplier.activation.code_bits)}
        super().__init__({**ports, "product": Out(signed(self.product_bits))})

    @cached_property
    def product_range(self) -> tuple[int, int]:
        """Lowest and highest product."""
        low, high = self.multiplier.product_range
        return int(low.min()), int(high.max())

    @property
    def product_bits(self) -> int:
        """Width of the product, always with a sign: constant, and free, where no product is negative."""
        return bits_for(*self.product_range)

    def elaborate(self, platform: object) -> Module:
        """Return the logic."""
        m = Module()
        m.d.comb += self.product.eq(self.multiply(m))
        return m

    @abstractmethod
    def multiply(self, m: Module) -> Value:
        """Return the product of the ports w and a; only its lowest `product_bits` bits are taken."""

    def description(self) -> tuple[str, ...]:
        """Return what it computes: the circuit, the formats, the range and the unit of a product."""
        low, high = self.product_range
        multiplier = self.multiplier
        about = (type(self).__doc__ or "").splitlines()[0]
        return (
            about,
            f"w: code of {multiplier.weight}",
            f"a: code of {multiplier.activation}",
            f"product: {low} .. {high}, {self.product_bits} bits in two's complement; 1 stands for {multiplier.unit:g}",
        )
