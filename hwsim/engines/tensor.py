"""The tensor engine: layers as torch convolutions of 8-bit integers or of floats, where `proof` says they are exact."""

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hwsim.engines import elementwise
from hwsim.engines.bounds import overflow_excluded
from hwsim.engines.channels_last import ChannelsLastEngine
from hwsim.engines.compiled import compiled_layer
from hwsim.engines.fusion import Chain
from hwsim.engines.int8_convolution import Geometry, Int8Convolution, is_exact, is_exact_for, strides_to_one_column
from hwsim.engines.int8_terms import MAX_TERMS, Int8Terms, int8_terms, linear_terms
from hwsim.engines.proof import Proof, prove
from hwsim.engines.staircase import Line, line_of
from hwsim.engines.steps import Array, Layer, ReferenceLayer
from hwsim.network import Network
from hwsim.nodes import Conv, Matmul, Quantize


def prepare(network: Network, kept: Collection[str] = ()) -> ChannelsLastEngine:
    """Return the engine for a network: weights unpacked, each layer's path chosen."""
    layers = {node.name: choose_layer(node, network.shapes[node.inputs[0]]) for node in network.layers}
    return ChannelsLastEngine(network, layers, kept, fuse)


def choose_layer(node: Matmul, image: tuple[int, ...]) -> Layer:
    """Return the fastest exact way to compute a layer of images (C, H, W) or (C,)."""
    proof = prove(node)
    terms = int8_terms(node.multiplier)
    if proof.dtype == "float32" and terms is not None and is_exact():
        layer = Int8Layer(node, terms, proof)
        if layer.is_exact_on(image):
            return layer
    many = len(node.multiplier.terms().weight) > MAX_TERMS
    compiled = compiled_layer(node)
    if proof.dtype is None or (many and not isinstance(compiled, ReferenceLayer)):
        return compiled
    return FloatLayer(node, proof)


def fuse(layer: Layer, node: Matmul, chain: Chain, quantize: Quantize) -> Layer | None:
    """Return an int8 layer that makes the next layer's codes itself, where `staircase` proves that it can."""
    if not isinstance(layer, Int8Layer) or layer.wrap_bits is not None or chain.pool:
        return None
    line = line_of(node, chain, quantize)
    return None if line is None else CodeLayer(layer, line)


class TermLayer:
    """What the torch layers share: codes become the terms' activations, which stand in a channel's place.

    activation: (R, codes), what each term makes of a code; zero_point is taken off it. padding: by codes and
    before the convolution, where the code that pads does not stand for 0.
    """

    def __init__(self, node: Matmul, activation: Array, zero_point: int = 0) -> None:
        conv = node if isinstance(node, Conv) else None
        self.terms, self.type, self.tables = len(activation), activation.dtype, activation
        if self.type == np.uint8 and self.terms == 2:  # both terms of a code in one access
            self.tables = np.ascontiguousarray(activation.T).view(np.uint16).T
        self.lines = linear_terms(activation) if activation.dtype == np.uint8 else None
        self.is_plain = len(activation) == 1 and np.array_equal(activation[0], np.arange(activation.shape[1]))
        self.wrap_bits = None if overflow_excluded(node).all() else node.accumulator.bits
        padding = conv.padding if conv else (0, 0)
        self.zero_code = node.multiplier.activation.zero_code or 0
        self.padding = (0, 0) if (activation[:, self.zero_code] == zero_point).all() else padding
        rest = (0, 0) if any(self.padding) else padding
        stride, dilation = (conv.stride, conv.dilation) if conv else ((1, 1), (1, 1))
        self.geometry: Geometry = (stride, rest, dilation, conv.groups if conv else 1)

    def __call__(self, codes: Array) -> tuple[Array, int]:
        """Return the exact sums; wrapping them is left to the caller."""
        image = codes if codes.ndim == 4 else codes[:, None, None, :]
        if any(self.padding):
            around = ((0, 0), *((p, p) for p in self.padding), (0, 0))
            image = np.pad(image, around, constant_values=self.zero_code)
        expanded = torch.from_numpy(self._expand(image)).permute(0, 3, 1, 2)
        sums = self.convolve(expanded).permute(0, 2, 3, 1).contiguous().numpy()
        return (sums if codes.ndim == 4 else sums[:, 0, 0]), 0

    def convolve(self, expanded: Tensor) -> Tensor:
        """Return the sums (N, K, OY, OX) of the terms' activations (N, R * C, H, W)."""
        raise NotImplementedError

    def _expand(self, image: Array) -> Array:
        if self.is_plain and image.dtype == self.type:
            return image
        codes, shape = image.reshape(-1), (*image.shape[:3], self.terms * image.shape[3])
        expanded = np.empty((codes.size, len(self.tables)), dtype=self.tables.dtype)
        if self.lines is None:
            for term, table in enumerate(self.tables):
                elementwise.look_up(codes, table, expanded[:, term])
        else:
            elementwise.expand_linearly(codes, *self.lines, expanded[:, 0])
        return expanded.view(self.type).reshape(shape)


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
        weight = self.weight
        if strides_to_one_column(tuple(expanded.shape), tuple(weight.shape), self.geometry):
            expanded, weight = expanded.double(), weight.double()
        # NNPACK's Winograd transform is not exact; the direct convolution is
        with torch.backends.nnpack.flags(enabled=False):
            return functional.conv2d(expanded, weight, None, *self.geometry)


def stacked(terms: Array, node: Matmul) -> Array:
    """Return the terms' weights as channels, all terms of a channel in its place: (K, C/groups * R, FY, FX)."""
    codes = node.weight if node.weight.ndim == 4 else node.weight[:, :, None, None]
    kernels, _, *taps = codes.shape
    return np.stack([term[codes] for term in terms], axis=2).reshape(kernels, -1, *taps)


class Int8Layer(TermLayer):
    """One 8-bit convolution of all terms (oneDNN), summed in 32 bits and returned as float32."""

    def __init__(self, node: Matmul, terms: Int8Terms, proof: Proof) -> None:
        super().__init__(node, terms.activation.astype(np.uint8), terms.zero_point)
        self.path = f"int8 convolution of {len(terms.weight)} terms: {proof.reason}"
        weight = torch.from_numpy(stacked(terms.weight, node).astype(np.int8))
        self.convolution = Int8Convolution(weight, terms.zero_point, self.geometry)

    def is_exact_on(self, image: tuple[int, ...]) -> bool:
        """Return whether oneDNN was seen to be exact on images of this shape, (C, H, W) or (C,)."""
        depth, height, width = image if len(image) == 3 else (*image, 1, 1)
        padded = (height + 2 * self.padding[0], width + 2 * self.padding[1])
        convolution = self.convolution
        weight = tuple(convolution.weight.shape)
        return is_exact_for((self.terms * depth, *padded), weight, self.geometry, convolution.zero_point)

    def convolve(self, expanded: Tensor) -> Tensor:
        """Return the sums as float32, each an exact integer."""
        return self.convolution(expanded)


class CodeLayer(Int8Layer):
    """An 8-bit convolution that rescales and quantizes its sums before it writes them: codes, uint8."""

    def __init__(self, layer: Int8Layer, line: Line) -> None:
        self.__dict__ |= vars(layer)
        exact = layer.convolution
        self.convolution = Int8Convolution(exact.weight, exact.zero_point, exact.geometry, line)
