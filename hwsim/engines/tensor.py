"""The tensor engine: torch on the CPU. Layers run as exact floating-point convolutions where `proof` allows it."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hwsim.arithmetic import IntArray, Requantizer, register_range
from hwsim.engines import reference
from hwsim.engines.proof import prove
from hwsim.engines.simulate import Run
from hwsim.network import Datapath, Network
from hwsim.nodes import (
    Add,
    AvgPool,
    Clip,
    Concat,
    Conv,
    Flatten,
    Input,
    Matmul,
    MaxPool,
    Node,
    PadChannels,
    Quantize,
    Relu,
    Rescale,
)


def prepare(network: Network) -> "TensorEngine":
    """Return the engine for a network: weights unpacked, each layer's path chosen."""
    return TensorEngine(network)


class TensorEngine:
    """Runs the nodes in order; layers through `Layer`, the other kinds through one function each."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.layers = {node.name: Layer(node) for node in network.layers}
        self.paths = {name: layer.path for name, layer in self.layers.items()}

    @torch.no_grad()
    def run(self, images: NDArray[np.float64]) -> Run:
        """Return every tensor of one batch of images."""
        run = Run({})
        for node in self.network.nodes:
            context = Context(node.name, self.network.datapath, run.overflows)
            inputs = [to_tensor(images)] if isinstance(node, Input) else [run.values[n] for n in node.inputs]
            step = self.layers.get(node.name) or STEPS[type(node)]
            run.values[node.name] = step(node, context, *inputs)
        return run

    def to_numpy(self, value: Tensor) -> IntArray:
        """Return a tensor as a numpy array."""
        return np.asarray(value.numpy(), dtype=np.int64)


class Context:
    """What a node needs beside its inputs: the datapath, and where to count overflows."""

    def __init__(self, name: str, datapath: Datapath, overflows: Counter[str]) -> None:
        self.name, self.datapath, self.overflows = name, datapath, overflows

    def count(self, overflowed: Tensor) -> None:
        """Count the true elements."""
        self.overflows[self.name] += int(overflowed.sum())

    def saturate(self, value: Tensor) -> Tensor:
        """Return the value as the datapath holds it; what does not fit is counted."""
        result = value.clamp(*self.datapath.range)
        self.count(result != value)
        return result


class Layer:
    """A convolution or linear layer, its weights unpacked into the terms of its multiplier.

    The terms stand side by side as channels: one convolution of R times the depth sums them all.
    """

    def __init__(self, node: Matmul) -> None:
        self.node = node
        proof = prove(node)
        self.path = f"{proof.dtype} convolution: {proof.reason}" if proof.dtype else f"reference: {proof.reason}"
        self.exact = proof.dtype is not None
        if self.exact:
            self._unpack(getattr(torch, str(proof.dtype)))

    def _unpack(self, dtype: torch.dtype) -> None:
        terms = self.node.multiplier.terms()
        weight = self.node.weight if self.node.weight.ndim == 4 else self.node.weight[:, :, None, None]
        stacked = np.concatenate([term[weight] for term in terms.weight], axis=1)  # (K, R * C/groups, FY, FX)
        self.weight = torch.from_numpy(stacked).to(dtype)
        self.activation = torch.from_numpy(terms.activation).to(dtype)  # (R, codes)

    def __call__(self, node: Node, context: Context, codes: Tensor) -> Tensor:
        """Return what the accumulators hold at the end."""
        if not self.exact:
            return self._by_reference(context, codes)
        exact = self._sums(codes if codes.ndim == 4 else codes[:, :, None, None])
        sums = (exact if codes.ndim == 4 else exact.flatten(1)).to(torch.int64)
        low, high = register_range(self.node.accumulator.bits)
        context.count((sums < low) | (sums > high))
        return torch.bitwise_and(sums - low, high - low) + low

    def _sums(self, codes: Tensor) -> Tensor:
        """Return the exact sums of a (N, C, H, W) batch of codes, by one floating-point convolution."""
        conv = self.node if isinstance(self.node, Conv) else None
        groups = conv.groups if conv else 1
        levels = torch.stack([term[codes] for term in self.activation], dim=1)  # (N, R, C, H, W)
        n, terms, channels, *size = levels.shape
        grouped = levels.reshape(n, terms, groups, channels // groups, *size).transpose(1, 2).flatten(1, 3)
        if conv is None:
            return functional.conv2d(grouped, self.weight)
        # NNPACK's Winograd transform is not exact; the direct convolution is
        with torch.backends.nnpack.flags(enabled=False):
            return functional.conv2d(grouped, self.weight, None, conv.stride, conv.padding, conv.dilation, groups)

    def _by_reference(self, context: Context, codes: Tensor) -> Tensor:
        step = reference.convolve if isinstance(self.node, Conv) else reference.multiply_matrix
        inner = reference.Context(context.name, context.datapath, context.overflows)
        return torch.from_numpy(step(self.node, inner, codes.numpy()))  # type: ignore[arg-type]


def quantize_pixels(node: Input, context: Context, pixels: Tensor) -> Tensor:
    """Round pixels to the datapath; what lies beyond it is clipped before it becomes an integer."""
    low, high = context.datapath.range
    scaled = torch.round(pixels * 2.0**context.datapath.frac_bits)
    context.count((scaled < low) | (scaled > high))
    return scaled.clamp(low, high).to(torch.int64)


def to_tensor(array: NDArray[Any]) -> Tensor:
    """Return a copy as a tensor: torch shares no array that is read-only or runs backwards."""
    return torch.from_numpy(array.copy())


def requantize(requantizer: Requantizer, x: Tensor) -> Tensor:
    """Return the rounded product, as `Requantizer.apply`; |x * multiplier| < 2^63 was checked with the network."""
    multiplier, shift = (
        to_tensor(np.atleast_1d(part)).reshape((-1,) + (1,) * (x.ndim - 2))
        for part in (requantizer.multiplier, requantizer.shift)
    )
    return shift_right(x * multiplier, shift, requantizer.rounding)


def shift_right(x: Tensor, shift: Tensor, rounding: str) -> Tensor:
    """Return x / 2**shift, rounded, as `hwsim.arithmetic.shift_right`."""
    floor = x >> shift
    remainder = x - (floor << shift)
    half = torch.clamp(torch.ones_like(shift) << torch.clamp(shift - 1, min=0), min=1)
    match rounding:
        case "half_up":
            return floor + (remainder >= half)
        case "half_even":
            return floor + ((remainder > half) | ((remainder == half) & (floor % 2 == 1)))
        case "toward_zero":
            return floor + ((floor < 0) & (remainder > 0))
    return floor


def quantize(node: Quantize, context: Context, x: Tensor) -> Tensor:
    """Requantize, clip to the format's range, and take the bit pattern."""
    level = requantize(node.requantizer, x).clamp(int(node.format.min_level), int(node.format.max_level))
    return level & ((1 << node.format.bits) - 1)


def rescale(node: Rescale, context: Context, sums: Tensor) -> Tensor:
    """Requantize and add the bias."""
    bias = to_tensor(node.bias).reshape((-1,) + (1,) * (sums.ndim - 2))
    return context.saturate(requantize(node.requantizer, sums) + bias)


def max_pool(node: MaxPool, context: Context, x: Tensor) -> Tensor:
    """Take the maximum of each window."""
    return windows(node.kernel, node.stride, pad(x, node.padding, torch.iinfo(torch.int64).min)).amax(dim=(-2, -1))


def average_pool(node: AvgPool, context: Context, x: Tensor) -> Tensor:
    """Sum each window and requantize the sum."""
    sums = windows(node.kernel, node.stride, pad(x, node.padding, 0)).sum(dim=(-2, -1))
    return context.saturate(requantize(node.requantizer, sums))


def pad_channels(node: PadChannels, context: Context, x: Tensor) -> Tensor:
    """Put zero channels around."""
    return functional.pad(x, (0, 0) * (x.ndim - 2) + (node.before, node.after))


STEPS: dict[type[Node], Callable[..., Tensor]] = {
    Input: quantize_pixels,
    Quantize: quantize,
    Rescale: rescale,
    Add: lambda node, context, x, y: context.saturate(x + y),
    Relu: lambda node, context, x: x.clamp(min=0),
    Clip: lambda node, context, x: x.clamp(node.low, node.high),
    MaxPool: max_pool,
    AvgPool: average_pool,
    Flatten: lambda node, context, x: x.flatten(1),
    Concat: lambda node, context, *tensors: torch.cat(tensors, dim=1),
    PadChannels: pad_channels,
}


def pad(x: Tensor, padding: tuple[int, int], value: int) -> Tensor:
    """Surround each image (N, C, H, W) with a value."""
    rows, columns = padding
    return functional.pad(x, (columns, columns, rows, rows), value=value)


def windows(kernel: tuple[int, int], stride: tuple[int, int], padded: Tensor) -> Tensor:
    """Return the windows of pooling, shape (N, C, OY, OX, FY, FX)."""
    return padded.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
