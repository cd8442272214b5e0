"""The reference engine: numpy int64, one product and one addition at a time. Slow and obviously right."""

from collections import Counter
from collections.abc import Callable, Collection
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwsim.accumulator import Accumulator
from hwsim.adapter import divided, multiplied, requantized, run_layers
from hwsim.arithmetic import IntArray, fit, register_range
from hwsim.engines.simulate import Run
from hwsim.multipliers import Multiplier
from hwsim.network import Datapath, Network
from hwsim.nodes import (
    Adapter,
    AdaptiveQuantize,
    AdaptiveRescale,
    Add,
    AvgPool,
    Clip,
    Concat,
    Conv,
    Flatten,
    Input,
    Linear,
    MaxPool,
    Node,
    PadChannels,
    Pair,
    Pool,
    Quantize,
    Relu,
    Rescale,
    Threshold,
)

MAX_TABLE_BITS = 16  #: Products of wider operands are computed one by one, not looked up.


def prepare(network: Network, kept: Collection[str] = ()) -> "ReferenceEngine":
    """Return the engine for a network."""
    return ReferenceEngine(network)


class ReferenceEngine:
    """Runs the nodes in order; each node kind is one function below."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.paths = {node.name: "one product and one addition at a time, int64" for node in network.layers}

    def run(self, images: NDArray[np.float64]) -> Run:
        """Return every tensor of one batch of images."""
        run = Run({})
        for node in self.network.nodes:
            inputs = [images] if isinstance(node, Input) else [run.values[name] for name in node.inputs]
            context = Context(node.name, self.network.datapath, run.overflows)
            run.values[node.name] = STEPS[type(node)](node, context, *inputs)
        return run

    def to_numpy(self, value: IntArray) -> IntArray:
        """Return the tensor itself."""
        return value


class Context:
    """What a node needs beside its inputs: the datapath, and where to count overflows."""

    def __init__(self, name: str, datapath: Datapath, overflows: Counter[str]) -> None:
        self.name, self.datapath, self.overflows = name, datapath, overflows

    def saturate(self, value: IntArray) -> IntArray:
        """Return the value as the datapath holds it; what does not fit is counted."""
        result = fit(value, self.datapath.bits, "saturate")
        self.overflows[self.name] += int(np.count_nonzero(result != value))
        return result


def quantize_pixels(node: Input, context: Context, pixels: NDArray[np.float64]) -> IntArray:
    """Round pixels to the datapath; what lies beyond it is clipped before it becomes an integer."""
    low, high = context.datapath.range
    with np.errstate(over="ignore"):
        scaled = np.rint(np.ldexp(pixels, context.datapath.frac_bits))
    context.overflows[node.name] += int(np.count_nonzero((scaled < low) | (scaled > high)))
    return np.clip(scaled, low, high).astype(np.int64)


def quantize(node: Quantize, context: Context, x: IntArray) -> IntArray:
    """Take off the offset, requantize, clip to the format's range, and take the bit pattern."""
    return encode(node, node.requantizer.apply(x - node.offset))


def encode(node: Quantize, level: IntArray) -> IntArray:
    """Clip to the format's range and take the bit pattern."""
    clipped = np.clip(level, int(node.format.min_level), int(node.format.max_level))
    return (clipped + (node.format.zero_code or 0)) & ((1 << node.format.bits) - 1)


def compare(node: Threshold, context: Context, x: IntArray) -> IntArray:
    """Count the thresholds that x reaches, and take the code of the level at that place."""
    return node.format.codes[np.searchsorted(node.thresholds, x, side="right")]


def adapt(node: Adapter, context: Context, x: IntArray) -> IntArray:
    """Sum each channel and make beta of the sums."""
    return adapt_sums(node, x.sum(axis=tuple(range(2, x.ndim))))


def adapt_sums(node: Adapter, sums: IntArray) -> IntArray:
    """Return beta (N, 1) of the channels' sums (N, C)."""
    low, high = int(node.format.min_level), int(node.format.max_level)
    return run_layers(node.layers, np.clip(node.requantizer.apply(sums), low, high), node.bits)


def quantize_adaptively(node: AdaptiveQuantize, context: Context, x: IntArray, beta: IntArray) -> IntArray:
    """Divide the multiplier by each sample's beta, requantize, clip, and take the bit pattern."""
    return encode(node, requantized(x, divided(node.requantizer, beta), node.requantizer))


def convolve(node: Conv, context: Context, codes: IntArray) -> IntArray:
    """Add the products tap by tap: input channel, then kernel row, then kernel column."""
    kernels, depth, rows, columns = node.weight.shape
    group = np.arange(kernels) // (kernels // node.groups)  # of each output channel
    padded = pad(codes, node.padding, node.multiplier.activation.zero_code or 0)
    size = node.output_shape(codes.shape[1:])[1:]
    sums = Sums(node.accumulator, (len(codes), kernels, *size))
    for channel, row, column in np.ndindex(depth, rows, columns):
        offset = (row * node.dilation[0], column * node.dilation[1])
        window = strided(padded, offset, node.stride, size)[:, group * depth + channel]
        weight = node.weight[:, channel, row, column].reshape(-1, 1, 1)
        sums.add(products(node.multiplier, weight, window))
    context.overflows[node.name] += sums.overflowed
    return sums.register


def multiply_matrix(node: Linear, context: Context, codes: IntArray) -> IntArray:
    """Add the products input by input."""
    sums = Sums(node.accumulator, (len(codes), len(node.weight)))
    for channel in range(node.weight.shape[1]):
        sums.add(products(node.multiplier, node.weight[:, channel], codes[:, channel, None]))
    context.overflows[node.name] += sums.overflowed
    return sums.register


class Sums:
    """An array of accumulators."""

    def __init__(self, accumulator: Accumulator, shape: tuple[int, ...]) -> None:
        self.accumulator = accumulator
        self.register = np.zeros(shape, dtype=np.int64)
        self._exact = np.zeros(shape, dtype=np.int64)
        self._clipped = np.zeros(shape, dtype=np.bool_)

    def add(self, products: IntArray) -> None:
        """Add one product to each accumulator."""
        total = self.register + products
        self.register = fit(total, self.accumulator.bits, self.accumulator.overflow)
        self._clipped |= self.register != total
        self._exact += products

    @property
    def overflowed(self) -> int:
        """How many overflowed: were clipped at some step (saturate), or should hold another sum (wrap)."""
        if self.accumulator.overflow == "saturate":
            return int(np.count_nonzero(self._clipped))
        low, high = register_range(self.accumulator.bits)
        return int(np.count_nonzero((self._exact < low) | (self._exact > high)))


def products(multiplier: Multiplier, weight: IntArray, activation: IntArray) -> IntArray:
    """Return the product of each pair of codes, read from the product table where that is small."""
    if multiplier.weight.code_bits + multiplier.activation.code_bits > MAX_TABLE_BITS:
        return multiplier.multiply(weight, activation)
    return np.asarray(product_table(multiplier)[weight, activation])


@lru_cache(maxsize=32)
def product_table(multiplier: Multiplier) -> IntArray:
    """Return the circuit's product table, computed once per circuit."""
    return multiplier.table()


def rescale(node: Rescale, context: Context, sums: IntArray) -> IntArray:
    """Requantize and add the bias."""
    bias = node.bias.reshape((-1,) + (1,) * (sums.ndim - 2))
    return context.saturate(node.requantizer.apply(sums) + bias)


def rescale_adaptively(node: AdaptiveRescale, context: Context, sums: IntArray, beta: IntArray) -> IntArray:
    """Multiply the multipliers by each sample's beta, requantize and add the bias."""
    multiplier = multiplied(node.requantizer, beta, node.beta_bits)
    bias = node.bias.reshape((-1,) + (1,) * (sums.ndim - 2))
    return context.saturate(requantized(sums, multiplier, node.requantizer) + bias)


def add(node: Add, context: Context, x: IntArray, y: IntArray) -> IntArray:
    """Add two tensors."""
    return context.saturate(x + y)


def relu(node: Relu, context: Context, x: IntArray) -> IntArray:
    """Return max(x, 0)."""
    return np.maximum(x, 0)


def clip(node: Clip, context: Context, x: IntArray) -> IntArray:
    """Clip to the node's range."""
    return np.clip(x, node.low, node.high)


def max_pool(node: MaxPool, context: Context, x: IntArray) -> IntArray:
    """Take the maximum of each window."""
    return np.asarray(windows(node, pad(x, node.padding, np.iinfo(np.int64).min)).max(axis=0))


def average_pool(node: AvgPool, context: Context, x: IntArray) -> IntArray:
    """Sum each window and requantize the sum."""
    return context.saturate(node.requantizer.apply(windows(node, pad(x, node.padding, 0)).sum(axis=0)))


def flatten(node: Flatten, context: Context, x: IntArray) -> IntArray:
    """Put channels, rows and columns in one axis."""
    return x.reshape(len(x), -1)


def concatenate(node: Concat, context: Context, *tensors: IntArray) -> IntArray:
    """Join along the channels."""
    return np.concatenate(tensors, axis=1)


def pad_channels(node: PadChannels, context: Context, x: IntArray) -> IntArray:
    """Put zero channels around."""
    return np.pad(x, [(0, 0), (node.before, node.after), *[(0, 0)] * (x.ndim - 2)])


STEPS: dict[type[Node], Callable[..., IntArray]] = {
    Input: quantize_pixels,
    Quantize: quantize,
    Threshold: compare,
    Conv: convolve,
    Linear: multiply_matrix,
    Rescale: rescale,
    Add: add,
    Relu: relu,
    Clip: clip,
    MaxPool: max_pool,
    AvgPool: average_pool,
    Flatten: flatten,
    Concat: concatenate,
    PadChannels: pad_channels,
    Adapter: adapt,
    AdaptiveQuantize: quantize_adaptively,
    AdaptiveRescale: rescale_adaptively,
}


def pad(x: IntArray, padding: Pair, value: int) -> IntArray:
    """Surround each image (N, C, H, W) with a value."""
    return np.pad(x, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2], constant_values=value)


def strided(padded: IntArray, offset: Pair, stride: Pair, size: tuple[int, ...]) -> IntArray:
    """Return what one tap sees at each output position, shape (N, C, OY, OX)."""
    ends = [o + t * (n - 1) + 1 for o, t, n in zip(offset, stride, size, strict=True)]
    return padded[:, :, offset[0] : ends[0] : stride[0], offset[1] : ends[1] : stride[1]]


def windows(node: Pool, padded: IntArray) -> IntArray:
    """Return every tap of a pooling window, shape (taps, N, C, OY, OX)."""
    size = [(padded.shape[2 + i] - node.kernel[i]) // node.stride[i] + 1 for i in range(2)]
    taps = np.ndindex(*node.kernel)
    return np.stack([strided(padded, (row, column), node.stride, tuple(size)) for row, column in taps])
