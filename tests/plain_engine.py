"""A third interpreter for small networks: Python integers and Fractions, one value at a time."""

import math
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import numpy as np
from exact_values import code_of_zero, codes_by_level, exact_product, integer_level
from numpy.typing import NDArray

from hwsim.arithmetic import Requantizer
from hwsim.network import Network
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
    Pool,
    Quantize,
    Relu,
    Rescale,
    Threshold,
)

Tensor = dict[tuple[int, ...], int]  #: Value by position; what is missing is padding.


def run(network: Network, image: NDArray[np.float64]) -> tuple[dict[str, NDArray[np.int64]], Counter[str]]:
    """Return every node's tensor for one image, and the overflows."""
    values: dict[str, Tensor] = {}
    overflows: Counter[str] = Counter()
    for node in network.nodes:
        inputs = [values[name] for name in node.inputs] or [fixed_point(image, network.datapath.frac_bits)]
        positions = list(product(*map(range, network.shapes[node.name])))
        exact = {at: compute(node, network, at, *inputs) for at in positions}
        values[node.name] = {at: value for at, (value, _) in exact.items()}
        overflows[node.name] += sum(overflowed for _, overflowed in exact.values())
    arrays = {
        name: np.array([tensor[at] for at in sorted(tensor)], dtype=np.int64).reshape(network.shapes[name])
        for name, tensor in values.items()
    }
    return arrays, +overflows


def fixed_point(image: NDArray[np.float64], frac_bits: int) -> Tensor:
    """Return pixels in units of the datapath, before it saturates them."""
    return {at: round(Fraction(float(image[at])) * 2**frac_bits) for at in np.ndindex(*image.shape)}


def compute(node: Node, network: Network, at: tuple[int, ...], *inputs: Tensor) -> tuple[int, bool]:
    """Return (value at a position, whether it overflowed)."""
    match node:
        case Conv() | Linear():
            return accumulate(node, at, inputs[0])
        case Adapter():
            return factor(node, inputs[0]), False
        case Quantize():
            beta = inputs[1][(0,)] if isinstance(node, AdaptiveQuantize) else 1
            x = inputs[0][at] - node.offset
            level = requantized(node.requantizer, at[0], x, lambda m: nearest(Fraction(m, beta)))
            place = level - integer_level(node.format, codes_by_level(node.format)[0])
            return codes_by_level(node.format)[min(max(place, 0), node.format.count - 1)], False
        case Threshold():
            return codes_by_level(node.format)[sum(int(t) <= inputs[0][at] for t in node.thresholds)], False
        case Input() | Add() | Rescale() | AvgPool():
            value, bits = wide(node, network, at, *inputs), network.datapath.bits
            kept = min(max(value, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)
            return kept, kept != value
    return plain(node, at, *inputs), False


def wide(node: Node, network: Network, at: tuple[int, ...], *inputs: Tensor) -> int:
    """Return the value before the datapath saturates it."""
    match node:
        case Input():
            return inputs[0][at]
        case Add():
            return inputs[0][at] + inputs[1][at]
        case AdaptiveRescale():
            share = Fraction(inputs[1][(0,)], 2**node.beta_bits)
            sums = requantized(node.requantizer, at[0], inputs[0][at], lambda m: nearest(m * share))
            return sums + int(node.bias[at[0]])
        case Rescale():
            return requantized(node.requantizer, at[0], inputs[0][at]) + int(node.bias[at[0]])
        case AvgPool():
            return requantized(node.requantizer, at[0], sum(inputs[0].get(tap, 0) for tap in taps(node, at)))
    raise TypeError(node)


def plain(node: Node, at: tuple[int, ...], *inputs: Tensor) -> int:
    """Return the value of a node that cannot overflow."""
    x = inputs[0]
    match node:
        case Relu():
            return max(x[at], 0)
        case Clip():
            return min(max(x[at], node.low), node.high)
        case MaxPool():
            return max(x[tap] for tap in taps(node, at) if tap in x)
        case PadChannels():
            return x.get((at[0] - node.before, *at[1:]), 0)
        case Flatten():
            return [x[position] for position in sorted(x)][at[0]]
        case Concat():
            joined = [(tensor, c) for tensor in inputs for c in sorted({position[0] for position in tensor})]
            tensor, channel = joined[at[0]]
            return tensor[(channel, *at[1:])]
    raise TypeError(node)


def taps(node: Pool, at: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the positions under a pooling window."""
    top, left = (p * s - q for p, s, q in zip(at[1:], node.stride, node.padding, strict=True))
    return [(at[0], top + row, left + column) for row in range(node.kernel[0]) for column in range(node.kernel[1])]


def factor(node: Adapter, x: Tensor) -> int:
    """Return beta, output by output of the adapter's layers."""
    channels = sorted({position[0] for position in x})
    pooled = {c: sum(value for position, value in x.items() if position[0] == c) for c in channels}
    ends = int(node.format.min_level), int(node.format.max_level)
    codes = [min(max(requantized(node.requantizer, c, pooled[c]), ends[0]), ends[1]) for c in channels]
    for layer in node.layers:
        ends = (1, 2**node.bits - 1) if layer is node.layers[-1] else (0, 255)
        sums = [
            sum(int(w) * code for w, code in zip(row, codes, strict=True)) + int(bias)
            for row, bias in zip(layer.weight, layer.bias, strict=True)
        ]
        codes = [min(max(requantized(layer.requantizer, j, value), ends[0]), ends[1]) for j, value in enumerate(sums)]
    return codes[0]


def nearest(x: Fraction) -> int:
    """Return the nearest integer, the upper one of two."""
    return math.floor(x + Fraction(1, 2))


def requantized(requantizer: Requantizer, channel: int, x: int, change: Callable[[int], int] = int) -> int:
    """Return x times the scale, its multiplier changed first, rounded as the mode's name says."""
    multiplier, shift = (
        int(np.resize(part, channel + 1)[channel]) for part in (requantizer.multiplier, requantizer.shift)
    )
    exact = Fraction(int(x) * change(multiplier), 2**shift)
    match requantizer.rounding:
        case "half_up":
            return math.floor(exact + Fraction(1, 2))
        case "half_even":
            return round(exact)
        case "toward_zero":
            return math.trunc(exact)
    return math.floor(exact)


def accumulate(node: Conv | Linear, at: tuple[int, ...], codes: Tensor) -> tuple[int, bool]:
    """Return (what the register holds at the end, whether it overflowed), adding in the documented order."""
    bits = node.accumulator.bits
    register = exact = 0
    clipped = False
    for weight, code in operands(node, at, codes):
        value = exact_product(node.multiplier, weight, code)
        register, exact = register + value, exact + value
        if node.accumulator.overflow == "saturate":
            kept = min(max(register, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)
            register, clipped = kept, clipped or kept != register
    if node.accumulator.overflow == "saturate":
        return register, clipped
    wrapped = (exact + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
    return wrapped, wrapped != exact


def operands(node: Conv | Linear, at: tuple[int, ...], codes: Tensor) -> list[tuple[int, int]]:
    """Return the pairs (weight code, activation code) by input channel, kernel row, kernel column."""
    kernel, padding = node.weight[at[0]], code_of_zero(node.multiplier.activation)
    if isinstance(node, Linear):
        return [(int(w), codes[(channel,)]) for channel, w in enumerate(kernel)]
    depth, rows, columns = kernel.shape
    first = at[0] // (len(node.weight) // node.groups) * depth
    pairs = []
    for channel, row, column in product(range(depth), range(rows), range(columns)):
        y = at[1] * node.stride[0] - node.padding[0] + row * node.dilation[0]
        x = at[2] * node.stride[1] - node.padding[1] + column * node.dilation[1]
        pairs.append((int(kernel[channel, row, column]), codes.get((first + channel, y, x), padding)))
    return pairs
