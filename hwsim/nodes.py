"""The node kinds of the integer network, each with its semantics in its docstring.

Four kinds of tensors flow between nodes: `fixed` (integers on the datapath, a real value times 2^frac_bits), `codes`
(bit patterns of an activation format), `sums` (what an accumulator holds) and `beta` (one factor per sample, in fixed
point of its own). Shapes are per sample: (C, H, W) or (C,).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from hwsim.accumulator import Accumulator, partial_sum_range, required_bits
from hwsim.adapter import HIDDEN_BITS, AdapterLayer
from hwsim.arithmetic import IntArray, Requantizer, register_range
from hwsim.errors import check_integer
from hwsim.formats import IntegerFormat, Offset, Uniform
from hwsim.multipliers import Multiplier
from hwsim.shapes import check_channels, image_shape, weight_shape, window_positions

Shape = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Node(ABC):
    """One step of the program: reads the tensors named in `inputs`, makes the tensor `name`."""

    name: str
    inputs: tuple[str, ...]

    consumes: ClassVar[str] = "fixed"
    produces: ClassVar[str] = "fixed"
    consumes_second: ClassVar[str | None] = None  #: Kind of the second input where it differs from the first's.
    arity: ClassVar[int | None] = 1  #: How many inputs; None: two or more.

    @abstractmethod
    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the shape of the result, per sample.

        Raises:
            ValueError: the inputs' shapes do not fit this node.
        """


@dataclass(frozen=True, eq=False)
class Input(Node):
    """Real pixels to fixed point: round(x * 2^frac_bits), to nearest even, saturated to the datapath."""

    shape: Shape = ()

    consumes: ClassVar[str] = "pixels"
    arity: ClassVar[int | None] = 0

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the image's shape."""
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"node {self.name!r} needs a shape of positive sizes, got {self.shape}")
        return self.shape


@dataclass(frozen=True, eq=False)
class Encode(Node):
    """What makes codes of a format from fixed point."""

    format: IntegerFormat = field(kw_only=True)

    produces: ClassVar[str] = "codes"

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the input's shape."""
        return shapes[0]


@dataclass(frozen=True, eq=False)
class Quantize(Encode):
    """Fixed point to codes of consecutive levels: the level is clip(requantize(x - offset), lowest, highest).

    Its code is level + zero code, modulo 2^bits. The format is uniform, or uniform with a zero point. offset: an
    integer in units of the datapath (where an interval begins, as in QIL); hardware adds it to the rounding constant.
    """

    requantizer: Requantizer = field(kw_only=True)
    offset: int = field(default=0, kw_only=True)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the input's shape."""
        if not isinstance(self.format, Uniform | Offset):
            raise ValueError(f"node {self.name!r} makes uniform or offset codes; a threshold node makes {self.format}")
        check_channels(self.name, shapes[0], self.requantizer)
        return shapes[0]


@dataclass(frozen=True, eq=False)
class Threshold(Encode):
    """Fixed point to codes of any levels, by a bank of comparators: as many levels are below as thresholds <= x.

    thresholds: int64, shape (format's count - 1,), not descending, in units of the datapath: the smallest x that gets
    the next higher level. A level between two equal thresholds is never taken.
    """

    thresholds: IntArray = field(kw_only=True)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the input's shape."""
        if self.thresholds.shape != (self.format.count - 1,) or (np.diff(self.thresholds) < 0).any():
            raise ValueError(
                f"node {self.name!r} needs {self.format.count - 1} thresholds that do not descend, "
                f"got {self.thresholds.tolist()}"
            )
        return shapes[0]


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


NODES: dict[str, type[Node]] = {
    "input": Input,
    "quantize": Quantize,
    "threshold": Threshold,
    "conv": Conv,
    "linear": Linear,
    "rescale": Rescale,
    "add": Add,
    "relu": Relu,
    "clip": Clip,
    "max_pool": MaxPool,
    "avg_pool": AvgPool,
    "flatten": Flatten,
    "concat": Concat,
    "pad_channels": PadChannels,
    "adapter": Adapter,
    "adaptive_quantize": AdaptiveQuantize,
    "adaptive_rescale": AdaptiveRescale,
}
