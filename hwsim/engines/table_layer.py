"""What the compiled layers share: the geometry, the table, padding by codes, and reading the finished accumulators."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.accumulator import partial_sum_range
from hwsim.arithmetic import IntArray, largest_magnitude, register_range
from hwsim.engines.bounds import overflow_excluded
from hwsim.engines.jit import kernel
from hwsim.engines.reference import product_table
from hwsim.nodes import Conv, Matmul, Pair

Array = NDArray[Any]

MARK_BITS, MARK = 2, 1  #: Bits below a saturating register that remember clipping, and what they start as.


@dataclass(frozen=True, eq=False)
class TableLayer:
    """A layer as a loop nest over codes: a linear layer is a convolution of 1 x 1 pixels."""

    node: Matmul

    @cached_property
    def weight(self) -> IntArray:
        """Weight codes, (K, C/groups, FY, FX)."""
        return self.node.weight if self.node.weight.ndim == 4 else self.node.weight[:, :, None, None]

    @cached_property
    def conv(self) -> Conv:
        """The node, or the convolution that a linear layer is."""
        node = self.node
        if isinstance(node, Conv):
            return node
        return Conv(
            node.name, node.inputs, weight=self.weight, multiplier=node.multiplier, accumulator=node.accumulator
        )

    @cached_property
    def table(self) -> IntArray:
        """Products, (weight codes, activation codes)."""
        return product_table(self.node.multiplier)

    @cached_property
    def largest_product(self) -> int:
        """Largest magnitude in the table."""
        return largest_magnitude(self.table)

    @cached_property
    def saturable(self) -> int:
        """How many output channels have a bound that cannot rule saturation out."""
        if self.node.accumulator.overflow != "saturate":
            return 0
        return int((1 - overflow_excluded(self.node)).sum())

    @property
    def wrap_bits(self) -> int | None:
        """Register width that the sums still have to be wrapped to."""
        wraps = self.node.accumulator.overflow == "wrap" and not overflow_excluded(self.node).all()
        return self.node.accumulator.bits if wraps else None

    @cached_property
    def largest_sum(self) -> int:
        """Largest magnitude of any exact partial sum."""
        low, high = partial_sum_range(self.node.multiplier, self.node.weight)
        return max(-int(low.min()), int(high.max()))

    @property
    def marked_ends(self) -> Pair:
        """The saturating register's ends with the marking bits below it: zeros at the bottom, ones at the top."""
        low, high = register_range(self.node.accumulator.bits)
        return low << MARK_BITS, ((high + 1) << MARK_BITS) - 1

    @property
    def summary(self) -> str:
        """What the path says of the order of additions."""
        if not self.saturable:
            return "sums in any order are exact"
        return f"{self.saturable} of {len(self.weight)} channels can saturate"

    @property
    def zero_code(self) -> int:
        """The activation code whose level is 0; 0 where there is none, and then no padding."""
        return self.node.multiplier.activation.zero_code or 0

    def padded(self, codes: Array) -> Array:
        """Return codes (N, H, W, C) surrounded by the code whose level is 0."""
        (rows, columns), (n, height, width, channels) = self.conv.padding, codes.shape
        if not rows and not columns:
            return np.ascontiguousarray(codes)
        shape = (n, height + 2 * rows, width + 2 * columns, channels)
        image = np.full(shape, self.zero_code, dtype=codes.dtype)
        image[:, rows : rows + height, columns : columns + width] = codes
        return image

    def size(self, codes: Array) -> Pair:
        """Return the height and width of the result for codes (N, H, W, C)."""
        _, rows, columns = self.conv.output_shape((codes.shape[3], *codes.shape[1:3]))
        return rows, columns


@kernel
def unmark(marked: Array, bits: int, sums: Array) -> int:
    """Write the registers above the marking bits, both (positions, K), and return how many were ever clipped."""
    clipped = 0
    for i in range(sums.shape[0]):
        for k in range(sums.shape[1]):
            value = np.int32(marked[i, k])
            sums[i, k] = value >> bits
            clipped += (value & ((1 << bits) - 1)) != MARK
    return clipped
