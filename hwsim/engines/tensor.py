"""The tensor engine: layers as torch convolutions of 8-bit integers or of floats, where `proof` says they are exact."""

from collections.abc import Collection
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hwsim.engines import elementwise
from hwsim.engines.bounds import overflow_excluded
from hwsim.engines.channels_last import ChannelsLastEngine
from hwsim.engines.compiled import compiled_layer
from hwsim.engines.fusion import Chain
from hwsim.engines.int8_terms import MAX_TERMS, Int8Terms, int8_terms
from hwsim.engines.proof import Proof, prove
from hwsim.engines.staircase import Line, line_of
from hwsim.engines.steps import Array, Layer, ReferenceLayer
from hwsim.network import Network
from hwsim.nodes import Conv, Matmul, Quantize

Shape = tuple[list[int], list[int], list[int], int]  #: Stride, padding, dilation, groups.


def prepare(network: Network, kept: Collection[str] = ()) -> ChannelsLastEngine:
    """Return the engine for a network: weights unpacked, each layer's path chosen."""
    layers = {node.name: choose_layer(node) for node in network.layers}
    return ChannelsLastEngine(network, layers, kept, fuse)


def choose_layer(node: Matmul) -> Layer:
    """Return the fastest exact way to compute a layer."""
    proof = prove(node)
    # oneDNN's dilated 8-bit convolutions are wrong, or crash, on images of one row or column
    terms = None if isinstance(node, Conv) and node.dilation != (1, 1) else int8_terms(node.multiplier)
    if proof.dtype == "float32" and terms is not None and int8_is_exact():
        return Int8Layer(node, terms, proof)
    many = len(node.multiplier.terms().weight) > MAX_TERMS
    compiled = compiled_layer(node)
    if proof.dtype is None or (many and not isinstance(compiled, ReferenceLayer)):
        return compiled
    return FloatLayer(node, proof)


def fuse(layer: Layer, node: Matmul, chain: Chain, quantize: Quantize) -> Layer | None:
    """Return an int8 layer that makes the next layer's codes itself, where `staircase` proves that it can."""
    if not isinstance(layer, Int8Layer) or layer.wrap_bits is not None:
        return None
    line = line_of(node, chain, quantize)
    return None if line is None else CodeLayer(layer, line)


class TermLayer:
    """What the torch layers share: codes become the terms' activations, side by side as channels.

    activation: (R, codes), what each term makes of a code; zero_point is taken off it. padding: by codes and
    before the convolution, where the code 0 does not stand for 0.
    """

    def __init__(self, node: Matmul, activation: Array, zero_point: int = 0) -> None:
        conv = node if isinstance(node, Conv) else None
        self.table, self.groups = activation, conv.groups if conv else 1
        self.is_plain = len(activation) == 1 and np.array_equal(activation[0], np.arange(activation.shape[1]))
        self.wrap_bits = None if overflow_excluded(node).all() else node.accumulator.bits
        padding = conv.padding if conv else (0, 0)
        self.padding = (0, 0) if (activation[:, 0] == zero_point).all() else padding
        rest = [0, 0] if any(self.padding) else list(padding)
        pairs = (list(conv.stride), rest, list(conv.dilation)) if conv else ([1, 1], [0, 0], [1, 1])
        self.shape: Shape = (*pairs, self.groups)

    def __call__(self, codes: Array) -> tuple[Array, int]:
        """Return the exact sums; wrapping them is left to the caller."""
        image = codes if codes.ndim == 4 else codes[:, None, None, :]
        if any(self.padding):
            image = np.pad(image, ((0, 0), *((p, p) for p in self.padding), (0, 0)))
        expanded = torch.from_numpy(self._expand(image)).permute(0, 3, 1, 2)
        sums = self.convolve(expanded).permute(0, 2, 3, 1).contiguous().numpy()
        return (sums if codes.ndim == 4 else sums[:, 0, 0]), 0

    def convolve(self, expanded: Tensor) -> Tensor:
        """Return the sums (N, K, OY, OX) of the terms' activations (N, R * C, H, W)."""
        raise NotImplementedError

    def _expand(self, image: Array) -> Array:
        if self.is_plain and image.dtype == self.table.dtype:
            return image
        expanded = np.empty((*image.shape[:3], len(self.table) * image.shape[3]), dtype=self.table.dtype)
        flat = image.reshape(-1, image.shape[3])
        elementwise.expand(flat, self.groups, self.table, expanded.reshape(len(flat), -1))
        return expanded


class FloatLayer(TermLayer):
    """One floating-point convolution of all terms."""

    def __init__(self, node: Matmul, proof: Proof) -> None:
        terms = node.multiplier.terms()
        super().__init__(node, terms.activation.astype(proof.dtype))
        self.path = f"{proof.dtype} convolution: {proof.reason}"
        self.weight = torch.from_numpy(stacked(terms.weight, node).astype(proof.dtype))

    @torch.no_grad()
    def convolve(self, expanded: Tensor) -> Tensor:
        """Return the sums as floats, each an exact integer."""
        # NNPACK's Winograd transform is not exact; the direct convolution is
        with torch.backends.nnpack.flags(enabled=False):
            return functional.conv2d(expanded, self.weight, None, *self.shape)


def stacked(terms: Array, node: Matmul) -> Array:
    """Return the terms' weights side by side as channels: (K, R * C/groups, FY, FX)."""
    codes = node.weight if node.weight.ndim == 4 else node.weight[:, :, None, None]
    return np.concatenate([term[codes] for term in terms], axis=1)


class Int8Layer(TermLayer):
    """One 8-bit convolution of all terms (oneDNN), summed in 32 bits and returned as float32."""

    def __init__(self, node: Matmul, terms: Int8Terms, proof: Proof) -> None:
        super().__init__(node, terms.activation.astype(np.uint8), terms.zero_point)
        self.path = f"int8 convolution of {len(terms.weight)} terms: {proof.reason}"
        self.weight = torch.from_numpy(stacked(terms.weight, node).astype(np.int8))
        self.zero_point = terms.zero_point
        self.packed: dict[tuple[int, ...], Tensor] = {}

    def convolve(self, expanded: Tensor) -> Tensor:
        """Return the sums as float32, each an exact integer."""
        return int8_convolution(expanded, self.weight, self.zero_point, self.shape, self.packed, None)


class CodeLayer(Int8Layer):
    """An 8-bit convolution that rescales and quantizes its sums before it writes them."""

    def __init__(self, layer: Int8Layer, line: Line) -> None:
        self.__dict__ |= vars(layer)
        self.line, self.packed = line, {}

    def convolve(self, expanded: Tensor) -> Tensor:
        """Return codes, uint8."""
        return int8_convolution(expanded, self.weight, self.zero_point, self.shape, self.packed, self.line)


@lru_cache(maxsize=1)
def int8_is_exact() -> bool:
    """Return whether this torch, on this processor, has the 8-bit convolution and computes it exactly.

    The operators are private to torch, and processors without a 32-bit dot product saturate pairs of products at 16
    bits: sums of the largest operands show that.
    """
    if not hasattr(torch.ops.onednn, "qconv2d_pointwise"):
        return False
    return all(_int8_agrees(groups, kernel, zero) for groups, kernel, zero in product((1, 4), (1, 3), (0, 128)))


def _int8_agrees(groups: int, kernel: int, zero_point: int) -> bool:
    """Return whether one convolution of large operands, and its codes along a line, equal the same in float64."""
    generator = torch.Generator().manual_seed(kernel)
    weight = torch.randint(-128, 128, (32, 32 // groups, kernel, kernel), generator=generator, dtype=torch.int8)
    image = torch.randint(0, 256, (2, 32, 9, 9), generator=generator, dtype=torch.uint8)
    weight[::2], image[1] = 127, 255
    shape: Shape = ([1, 1], [kernel // 2] * 2, [1, 1], groups)
    exact = functional.conv2d(image.double() - zero_point, weight.double(), None, *shape)
    image = image.contiguous(memory_format=torch.channels_last)
    slope = (np.where(np.arange(32) % 3, 1.0, -1.0) / 2**16).astype(np.float32)
    line = Line(slope, np.arange(-8, 24).astype(np.float32), 15)
    value = (
        exact * torch.from_numpy(slope).double()[:, None, None] + torch.from_numpy(line.offset).double()[:, None, None]
    )
    clear = (value - value.floor() - 0.5).abs() > 2.0**-12
    codes = int8_convolution(image, weight, zero_point, shape, {}, line).double()
    sums = int8_convolution(image, weight, zero_point, shape, {}, None).double()
    return torch.equal(sums, exact) and torch.equal(codes[clear], value.round().clamp(0, line.top)[clear])


def int8_convolution(
    image: Tensor,
    weight: Tensor,
    zero_point: int,
    shape: Shape,
    packed: dict[tuple[int, ...], Tensor],
    line: Line | None,
) -> Tensor:
    """Return the convolution of uint8 images, less a zero point, with int8 weights (oneDNN, summed in int32).

    packed keeps the weights in oneDNN's layout by the image's size. Sums come as float32 or, along a line, as codes.
    """
    zeros, size = torch.zeros(len(weight), dtype=torch.int64), tuple(image.shape)
    scales = torch.ones(len(weight)) if line is None else torch.from_numpy(line.slope)
    offset = None if line is None else torch.from_numpy(line.offset)
    if size not in packed:
        packed[size] = torch.ops.onednn.qconv_prepack(weight, scales, 1.0, zero_point, *shape, list(size))
    after = (torch.float32, "none", []) if line is None else (torch.uint8, "hardtanh", [0.0, float(line.top)])
    result: Tensor = torch.ops.onednn.qconv2d_pointwise(
        image, 1.0, zero_point, packed[size], scales, zeros, offset, *shape, 1.0, 0, *after, ""
    )
    return result
