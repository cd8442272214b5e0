"""Convolution and linear layers of the device engine.

cuDNN may pick transforms that round, such as Winograd's, and nothing forbids it to. So each way to convolve is tried on
large odd operands, in the layer's own shape, against float64, for which there are none, before it is believed.
TensorFloat-32 is among the ways: operands of at most 11 bits are exact in it, and tensor cores add in float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hwsim.arithmetic import register_range
from hwsim.engines.proof import EXACT_BITS, Proof, prove
from hwsim.engines.reference import MAX_TABLE_BITS, product_table
from hwsim.nodes import Conv, Matmul

TF32_LARGEST = 1 << 11  #: Integers up to here have at most 11 significant bits.
WAYS = ("tf32", "float32", "float64")  #: From the fastest to the slowest.


class DeviceLayer(Protocol):
    """A layer on a device."""

    path: str

    def __call__(self, codes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the exact sums, or the registers and how many overflowed, (N, K, OY, OX) or (N, K)."""


def device_layer(node: Matmul, device: torch.device) -> DeviceLayer:
    """Return a layer's exact path.

    Raises:
        ValueError: the order of additions matters or no float holds the sums, and the product table is too large to
            add products one by one.
    """
    proof = prove(node)
    if proof.dtype is not None:
        return FloatLayer(node, proof, device)
    if node.multiplier.weight.code_bits + node.multiplier.activation.code_bits > MAX_TABLE_BITS:
        raise ValueError(f"node {node.name!r} cannot run on {device}: {proof.reason}")
    return OrderedLayer(node, proof, device)


class Geometry:
    """A layer as a convolution: a linear layer is one of 1 x 1 pixels."""

    def __init__(self, node: Matmul) -> None:
        conv = node if isinstance(node, Conv) else None
        self.weight = node.weight if node.weight.ndim == 4 else node.weight[:, :, None, None]
        self.padding, self.groups = (conv.padding, conv.groups) if conv else ((0, 0), 1)
        self.zero_code = node.multiplier.activation.zero_code or 0
        self.stride, self.dilation = (conv.stride, conv.dilation) if conv else ((1, 1), (1, 1))

    def padded(self, codes: Tensor) -> Tensor:
        """Return codes (N, C, H, W) or (N, C) as images, surrounded by the code of zero."""
        image = codes if codes.ndim == 4 else codes[:, :, None, None]
        rows, columns = self.padding
        around = (columns, columns, rows, rows)
        return functional.pad(image, around, value=self.zero_code) if any(around) else image


class FloatLayer:
    """One floating-point convolution of all terms, channel by channel."""

    def __init__(self, node: Matmul, proof: Proof, device: torch.device) -> None:
        terms, self.geometry = node.multiplier.terms(), Geometry(node)
        self.path = f"convolution on {device.type}, {proof.dtype} or narrower where it is exact: {proof.reason}"
        codes = self.geometry.weight
        weight = np.stack([term[codes] for term in terms.weight], axis=2).reshape(len(codes), -1, *codes.shape[2:])
        self.weight = torch.from_numpy(weight.astype(np.float64)).to(device)
        self.activation = torch.from_numpy(terms.activation.astype(np.float64)).to(device)
        largest = max(float(x.abs().max()) for x in (self.weight, self.activation))
        first = WAYS.index(str(proof.dtype))
        self.ways = WAYS[0 if first == 1 and largest <= TF32_LARGEST else first :]
        self.chosen: dict[tuple[int, ...], tuple[str, Tensor, Tensor]] = {}

    def __call__(self, codes: Tensor) -> tuple[Tensor, None]:
        """Return the exact sums of codes as floats."""
        image = self.geometry.padded(codes)
        shape = tuple(image.shape)
        if shape not in self.chosen:
            way = self._exact_way(shape)
            self.chosen[shape] = way, self.weight.to(dtype_of(way)), self.activation.to(dtype_of(way))
        way, weight, table = self.chosen[shape]
        expanded = torch.stack([term[image] for term in table], dim=2).flatten(1, 2)
        sums = self._convolve(expanded, weight, way)
        return (sums if codes.ndim == 4 else sums[:, :, 0, 0]), None

    def _convolve(self, expanded: Tensor, weight: Tensor, way: str) -> Tensor:
        geometry = self.geometry
        with exact_settings(way):
            return functional.conv2d(expanded, weight, None, geometry.stride, 0, geometry.dilation, geometry.groups)

    def _exact_way(self, shape: tuple[int, ...]) -> str:
        """Return the first way that sums large odd operands of this shape exactly; the last one needs no trial."""
        for way in self.ways[:-1]:
            if self._is_exact(shape, way):
                return way
        return self.ways[-1]

    def _is_exact(self, shape: tuple[int, ...], way: str) -> bool:
        n, depth, height, width = shape
        images = n, depth * len(self.activation), height, width
        weight, image = (x.to(self.weight.device) for x in odd_operands(tuple(self.weight.shape), images))
        expected = self._convolve(image, weight, "float64")
        sums = self._convolve(image.to(dtype_of(way)), weight.to(dtype_of(way)), way)
        return torch.equal(sums.double(), expected)


def odd_operands(weight: tuple[int, ...], image: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return weights and images of odd integers, the weights of both signs, whose sums stay below 2^24 in magnitude."""
    generator = torch.Generator().manual_seed(0)
    taps = int(np.prod(weight[1:]))
    highest = (min(TF32_LARGEST, int(((1 << EXACT_BITS["float32"]) / taps) ** 0.5)) + 1) // 2
    magnitude, pixels = (
        torch.randint(0, max(highest, 1), shape, generator=generator) * 2 + 1 for shape in (weight, image)
    )
    sign = torch.randint(0, 2, weight, generator=generator) * 2 - 1
    return (magnitude * sign).double(), pixels.double()


def dtype_of(way: str) -> torch.dtype:
    """Return the type of a way's operands."""
    return torch.float64 if way == "float64" else torch.float32


@contextmanager
def exact_settings(way: str) -> Iterator[None]:
    """Convolve without NNPACK, without cuDNN's trials, and in TensorFloat-32 only if that is the way; then restore."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    cudnn.benchmark, cudnn.deterministic = False, True
    cudnn.conv.fp32_precision = "tf32" if way == "tf32" else "ieee"  # type: ignore[attr-defined]
    try:
        with torch.backends.nnpack.flags(enabled=False):
            yield
    finally:
        cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision = before  # type: ignore[attr-defined]


class OrderedLayer:
    """Products read from the table and added one at a time: input channel, then kernel row, then kernel column."""

    def __init__(self, node: Matmul, proof: Proof, device: torch.device) -> None:
        self.accumulator, self.geometry = node.accumulator, Geometry(node)
        self.path = f"products one at a time on {device.type}: {proof.reason}"
        self.table = torch.from_numpy(product_table(node.multiplier)).to(device)
        self.weight = torch.from_numpy(self.geometry.weight.astype(np.int64)).to(device)
        kernels = len(self.geometry.weight)
        self.group = torch.arange(kernels, device=device) // (kernels // self.geometry.groups)

    def __call__(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the registers, and how many were clipped or should hold another sum."""
        low, high = register_range(self.accumulator.bits)
        register = exact = torch.zeros((), dtype=torch.int64, device=codes.device)
        clipped = torch.zeros((), dtype=torch.bool, device=codes.device)
        for products in self._products(self.geometry.padded(codes)):
            total, exact = register + products, exact + products
            if self.accumulator.overflow == "saturate":
                register = total.clamp(low, high)
                clipped = clipped | (register != total)
            else:
                register = ((total - low) & (high - low)) + low
        if self.accumulator.overflow != "saturate":
            clipped = (exact < low) | (exact > high)
        return (register if codes.ndim == 4 else register[:, :, 0, 0]), clipped.sum()

    def _products(self, image: Tensor) -> Iterator[Tensor]:
        """Yield the products of each tap with what it sees, (N, K, OY, OX)."""
        geometry, depth = self.geometry, self.weight.shape[1]
        spans = [d * (f - 1) + 1 for d, f in zip(geometry.dilation, self.weight.shape[2:], strict=True)]
        for channel, row, column in np.ndindex(*self.weight.shape[1:]):
            first = row * geometry.dilation[0], column * geometry.dilation[1]
            ends = [f + size - s + 1 for f, size, s in zip(first, image.shape[2:], spans, strict=True)]
            window = image[:, :, first[0] : ends[0] : geometry.stride[0], first[1] : ends[1] : geometry.stride[1]]
            weight = self.weight[:, channel, row, column].reshape(-1, 1, 1)
            yield self.table[weight, window[:, self.group * depth + channel]]
