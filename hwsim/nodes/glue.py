"""What stands between the layers: fixed point in, fixed point out."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from hwsim.arithmetic import Requantizer
from hwsim.nodes.node import Node, Pair, Shape
from hwsim.shapes import check_channels, image_shape, window_positions


@dataclass(frozen=True, eq=False)
class Add(Node):
    """Sum of two tensors, saturated to the datapath."""

    arity: ClassVar[int | None] = 2

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the inputs' common shape."""
        if shapes[0] != shapes[1]:
            raise ValueError(f"node {self.name!r} adds equal shapes, got {shapes[0]} and {shapes[1]}")
        return shapes[0]


@dataclass(frozen=True, eq=False)
class Relu(Node):
    """max(x, 0)."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the input's shape."""
        return shapes[0]


@dataclass(frozen=True, eq=False)
class Clip(Node):
    """min(max(x, low), high); the ends are in units of the datapath (ReLU6: 0 and 6 * 2^frac_bits)."""

    low: int = field(kw_only=True)
    high: int = field(kw_only=True)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the input's shape."""
        if self.low > self.high:
            raise ValueError(f"node {self.name!r} clips to low <= high, got {self.low} and {self.high}")
        return shapes[0]


@dataclass(frozen=True, eq=False)
class Pool(Node):
    """What the pooling nodes share: a window that slides over the image."""

    kernel: Pair = field(kw_only=True)
    stride: Pair = field(kw_only=True)
    padding: Pair = (0, 0)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return (C, OY, OX)."""
        channels, *size = image_shape(self.name, shapes[0])
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise ValueError(f"node {self.name!r}: padding {self.padding} exceeds half of the kernel {self.kernel}")
        return channels, *window_positions(self.name, size, self.kernel, self.stride, self.padding)


@dataclass(frozen=True, eq=False)
class MaxPool(Pool):
    """Maximum of each window; padding never wins. A kernel of 1 with a stride subsamples."""


@dataclass(frozen=True, eq=False)
class AvgPool(Pool):
    """requantize(sum of each window), where the requantizer's scale is 1 / (window size); padding adds zeros."""

    requantizer: Requantizer = field(kw_only=True)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return (C, OY, OX)."""
        check_channels(self.name, shapes[0], self.requantizer)
        return super().output_shape(*shapes)


@dataclass(frozen=True, eq=False)
class Flatten(Node):
    """(C, H, W) to (C * H * W,), row by row."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return (C * H * W,)."""
        return (int(np.prod(shapes[0])),)


@dataclass(frozen=True, eq=False)
class Concat(Node):
    """Tensors joined along the channels."""

    arity: ClassVar[int | None] = None

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return (sum of C, ...)."""
        if len({shape[1:] for shape in shapes}) > 1:
            raise ValueError(f"node {self.name!r} joins images of one size, got {shapes}")
        return sum(shape[0] for shape in shapes), *shapes[0][1:]


@dataclass(frozen=True, eq=False)
class PadChannels(Node):
    """Zero channels put before and after (the parameter-free shortcut of CIFAR ResNets, He et al., option A)."""

    before: int = field(kw_only=True)
    after: int = field(kw_only=True)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return (before + C + after, ...)."""
        if self.before < 0 or self.after < 0:
            raise ValueError(f"node {self.name!r} pads by 0 or more channels, got {self.before} and {self.after}")
        return self.before + shapes[0][0] + self.after, *shapes[0][1:]
