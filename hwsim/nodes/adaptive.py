"""ASQ's nodes: a factor for each sample, and what divides and multiplies by it."""

from dataclasses import dataclass, field
from typing import ClassVar

from hwsim.adapter import HIDDEN_BITS, AdapterLayer
from hwsim.arithmetic import Requantizer
from hwsim.errors import check_integer
from hwsim.formats import Uniform
from hwsim.nodes.encode import Quantize
from hwsim.nodes.matmul import Rescale
from hwsim.nodes.node import Node, Shape
from hwsim.shapes import check_channels


@dataclass(frozen=True, eq=False)
class Adapter(Node):
    """ASQ's factor beta of each sample, from its channels' means: two small linear layers, or one.

    Each channel is summed over all positions; clip(requantize(sum)) are codes of `format`; the layers make of them
    beta, 1 .. 2^bits - 1, a real factor times 2^frac_bits. Between the layers codes are 0 .. 255. The smallest beta is
    2^-frac_bits, where the float adapter's is 1e-8.
    """

    format: Uniform = field(kw_only=True)
    requantizer: Requantizer = field(kw_only=True)
    layers: tuple[AdapterLayer, ...] = field(kw_only=True)
    bits: int = 16
    frac_bits: int = 12

    produces: ClassVar[str] = "beta"

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return (1,)."""
        check_channels(self.name, shapes[0], self.requantizer)
        widths = [shapes[0][0], *(len(layer.weight) for layer in self.layers)]
        depths = [layer.weight.shape[1] for layer in self.layers]
        if not depths or depths != widths[:-1] or widths[-1] != 1:
            raise ValueError(
                f"node {self.name!r}: layers of {depths} inputs and {widths[1:]} outputs do not lead "
                f"from {widths[0]} channels to 1"
            )
        return (1,)

    def check_widths(self, largest: int, positions: int) -> None:
        """Raise a ValueError if an intermediate result could leave 63 bits, given channels of so many values."""
        check_integer(f"node {self.name!r}: beta's bits", self.bits, 2, 16)
        check_integer(f"node {self.name!r}: beta's frac_bits", self.frac_bits, 0, self.bits)
        self.requantizer.check_range(largest * positions, f"node {self.name!r}")
        largest_code = 1 << max(self.format.bits, HIDDEN_BITS)
        for layer in self.layers:
            layer.requantizer.check_range(layer.largest_sum(largest_code), f"node {self.name!r}")


@dataclass(frozen=True, eq=False)
class AdaptiveQuantize(Quantize):
    """A Quantize that divides by beta: its multiplier m becomes floor(m / beta + 1/2), once per sample.

    One integer division per sample makes a multiplier; each value then takes one product and a shift. The requantizer's
    scale is that for beta = 1 in units of beta, so m should use all its bits.
    """

    consumes_second: ClassVar[str | None] = "beta"
    arity: ClassVar[int | None] = 2

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the first input's shape."""
        if self.offset:
            raise ValueError(f"node {self.name!r} divides by beta: it has no offset, got {self.offset}")
        return super().output_shape(*shapes)


@dataclass(frozen=True, eq=False)
class AdaptiveRescale(Rescale):
    """A Rescale that multiplies by beta: its multiplier m becomes floor(m * beta / 2^beta_bits + 1/2), per sample.

    As beta is below 2^beta_bits, no multiplier grows, so all bounds of a Rescale hold. The requantizer's scale is that
    for beta = 2^beta_bits, and m should use all its bits.
    """

    beta_bits: int = field(kw_only=True)

    consumes_second: ClassVar[str | None] = "beta"
    arity: ClassVar[int | None] = 2
