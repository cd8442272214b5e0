"""Codes to sums of products, and sums back to fixed point."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from hwsim.accumulator import Accumulator, partial_sum_range, required_bits
from hwsim.arithmetic import IntArray, Requantizer, register_range
from hwsim.multipliers import Multiplier
from hwsim.nodes.node import Node, Pair, Shape
from hwsim.shapes import check_channels, image_shape, weight_shape, window_positions


@dataclass(frozen=True, eq=False)
class Matmul(Node):
    """What convolution and linear layers share: codes x codes, summed in an accumulator.

    weight: int64 codes, output channels first. Products are `multiplier.multiply(weight, activation)`; padding is the
    code whose level is 0. The accumulator adds them in the order input channel, kernel row, kernel column.
    """

    weight: IntArray = field(kw_only=True)
    multiplier: Multiplier = field(kw_only=True)
    accumulator: Accumulator = field(kw_only=True)

    consumes: ClassVar[str] = "codes"
    produces: ClassVar[str] = "sums"

    @property
    def required_bits(self) -> int:
        """The narrowest accumulator that can never overflow with these weights."""
        return required_bits(self.multiplier, self.weight)

    def check_accumulator(self) -> None:
        """Raise a ValueError if overflow is "error" and the weights could overflow the accumulator."""
        low, high = partial_sum_range(self.multiplier, self.weight)
        if self.accumulator.overflow != "error" or self.required_bits <= self.accumulator.bits:
            return
        channel = int(np.argmax(np.maximum(high, ~low)))
        worst = max(int(high[channel]), -int(low[channel]))
        raise ValueError(
            f"channel {channel}: sums can reach a magnitude of {worst}, too wide for an "
            f"accumulator of {self.accumulator.bits} bits with overflow='error'; {self.required_bits} bits would do"
        )

    @property
    def largest_sum(self) -> int:
        """Largest magnitude that the accumulator can hold at the end."""
        low, high = partial_sum_range(self.multiplier, self.weight)
        return min(-register_range(self.accumulator.bits)[0], max(-int(low.min()), int(high.max())))


@dataclass(frozen=True, eq=False)
class Conv(Matmul):
    """Convolution of codes: weight (K, C/groups, FY, FX), input (C, H, W), result (K, OY, OX)."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return (K, OY, OX)."""
        activation = self.multiplier.activation
        if any(self.padding) and activation.zero_code is None:
            raise ValueError(f"node {self.name!r} pads with zeros, but 0 is not a level of {activation}")
        channels, *size = image_shape(self.name, shapes[0])
        kernels, depth, *taps = weight_shape(self.name, self.weight, 4)
        if self.groups < 1 or channels != depth * self.groups or kernels % self.groups:
            raise ValueError(
                f"node {self.name!r}: {channels} input channels and {kernels} kernels of depth {depth} "
                f"do not divide into {self.groups} groups"
            )
        if min(self.dilation) < 1:
            raise ValueError(f"node {self.name!r}: dilation must be at least 1, got {self.dilation}")
        extents = [d * (f - 1) + 1 for f, d in zip(taps, self.dilation, strict=True)]
        return kernels, *window_positions(self.name, size, extents, self.stride, self.padding)


@dataclass(frozen=True, eq=False)
class Linear(Matmul):
    """Matrix times vector of codes: weight (K, C), input (C,), result (K,)."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return (K,)."""
        kernels, *depth = weight_shape(self.name, self.weight, 2)
        if shapes[0] != tuple(depth):
            raise ValueError(f"node {self.name!r} takes shape {tuple(depth)}, got {shapes[0]}")
        return (kernels,)


@dataclass(frozen=True, eq=False)
class Rescale(Node):
    """Sums to fixed point: requantize(sum) + bias, saturated to the datapath; batch norm is folded into both.

    bias: int64, shape (K,), in units of the datapath.
    """

    requantizer: Requantizer = field(kw_only=True)
    bias: IntArray = field(kw_only=True)

    consumes: ClassVar[str] = "sums"

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the input's shape."""
        if self.bias.shape != shapes[0][:1]:
            raise ValueError(f"node {self.name!r} has a bias of shape {self.bias.shape} for {shapes[0][0]} channels")
        check_channels(self.name, shapes[0], self.requantizer)
        return shapes[0]
