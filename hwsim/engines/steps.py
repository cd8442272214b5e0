"""The steps of the fast engines: a layer, a fused chain, a quantizer, a pooling; images channels last.

A node without a kernel, or beyond a kernel's bounds, takes the reference engine's step.
"""

from collections import Counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hwsim.adapter import divided, multiplied
from hwsim.arithmetic import Requantizer
from hwsim.engines import elementwise, reference
from hwsim.engines.fusion import Chain
from hwsim.engines.simulate import Run
from hwsim.network import Datapath
from hwsim.nodes import Adapter, AdaptiveRescale, AvgPool, Matmul, MaxPool, Node, Quantize

Array = NDArray[Any]


class Step(Protocol):
    """What computes one tensor from the tensors that it reads."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of these tensors."""

    def __call__(self, run: Run) -> None:
        """Add the tensor to the run."""


class Layer(Protocol):
    """A convolution or linear layer, ready to run."""

    path: str  #: How it is computed, and why.

    @property
    def wrap_bits(self) -> int | None:
        """Register width that the sums still have to be wrapped to."""

    def __call__(self, codes: Array) -> tuple[Array, int]:
        """Return the sums, (N, OY, OX, K) or (N, K), of codes (N, H, W, C) or (N, C), and how many overflowed."""


class LayerStep:
    """A layer, and the wrapping of its sums.

    result: the name of its tensor; replaces: nodes that the layer has built in.
    """

    def __init__(self, node: Matmul, layer: Layer, result: str, replaces: tuple[str, ...] = ()) -> None:
        self.node, self.layer, self.result, self.replaces, self.reads = node, layer, result, replaces, node.inputs

    def __call__(self, run: Run) -> None:
        """Add the node's tensor to the run."""
        sums, overflowed = self.layer(run.values[self.node.inputs[0]])
        if self.layer.wrap_bits is not None:
            overflowed += elementwise.wrap(sums, self.layer.wrap_bits)
        run.overflows[self.node.name] += overflowed
        run.values[self.result] = sums


class ReferenceLayer:
    """A layer as the reference engine computes it."""

    wrap_bits: int | None = None

    def __init__(self, node: Matmul) -> None:
        self.node = node
        self.path = "reference: one product and one addition at a time, int64"

    def __call__(self, codes: Array) -> tuple[Array, int]:
        """Return the registers, and how many overflowed."""
        context = reference.Context(self.node.name, Datapath(), Counter())
        sums = reference.STEPS[type(self.node)](self.node, context, channels_first(codes).astype(np.int64))
        return channels_last(sums), context.overflows[self.node.name]


class ChainStep:
    """A chain of nodes in one kernel."""

    def __init__(self, chain: Chain, datapath: Datapath) -> None:
        self.chain, self.type = chain, fixed_type(datapath)
        self.reads = chain.rescale.inputs + (() if chain.addend is None else (chain.addend,))
        requantizer, channels = chain.rescale.requantizer, len(chain.rescale.bias)
        self.half = 0.5 if requantizer.rounding == "half_up" else 0.0
        self.scale = np.ascontiguousarray(np.broadcast_to(requantizer.scale, (1, channels)))
        self.bias = chain.rescale.bias.astype(np.float64)
        self.rails = _floats(datapath.range) if chain.saturates else None
        self.clips = [clip and _floats(clip) for clip in (chain.first_clip, chain.last_clip)]

    def __call__(self, run: Run) -> None:
        """Add the last node's tensor to the run."""
        sums = run.values[self.chain.rescale.inputs[0]]
        addend = None if self.chain.addend is None else _flat(run.values[self.chain.addend])
        fixed = np.empty(sums.shape, dtype=self.type)
        rescaled, added = elementwise.rescale(
            _flat(sums),
            self._scale(run),
            self.half,
            self.bias,
            self.rails,
            self.clips[0],
            addend,
            self.clips[1],
            _flat(fixed),
        )
        run.overflows[self.chain.rescale.name] += rescaled
        if self.chain.add:
            run.overflows[self.chain.add.name] += added
        run.values[self.chain.nodes[-1].name] = fixed

    def _scale(self, run: Run) -> Array:
        """Return the scales, (1, K) or, where they are adapted to each sample, (N, K)."""
        rescale = self.chain.rescale
        if not isinstance(rescale, AdaptiveRescale):
            return self.scale
        multiplier = multiplied(rescale.requantizer, run.values[rescale.inputs[1]], rescale.beta_bits)
        scale = np.ldexp(multiplier.astype(np.float64), -rescale.requantizer.shift.astype(np.int32))
        return np.ascontiguousarray(np.broadcast_to(scale, (len(scale), len(rescale.bias))))


class QuantizeStep:
    """Fixed point to codes of at most 16 bits."""

    def __init__(self, node: Quantize) -> None:
        self.node, self.parts, self.reads = node, integer_parts(node.requantizer), node.inputs
        self.type = np.uint8 if node.format.bits <= 8 else np.uint16

    def __call__(self, run: Run) -> None:
        """Add the node's tensor to the run."""
        fixed, fmt = run.values[self.node.inputs[0]], self.node.format
        codes = np.empty(fixed.shape, dtype=self.type)
        low, high, mask = int(fmt.min_level), int(fmt.max_level), (1 << fmt.bits) - 1
        elementwise.quantize(fixed.reshape(-1), *self.parts, low, high, mask, codes.reshape(-1))
        run.values[self.node.name] = codes


class AdaptiveQuantizeStep(QuantizeStep):
    """Fixed point to codes of at most 16 bits, with a multiplier per sample."""

    def __call__(self, run: Run) -> None:
        """Add the node's tensor to the run."""
        fixed, fmt = run.values[self.node.inputs[0]], self.node.format
        multipliers = divided(self.node.requantizer, run.values[self.node.inputs[1]]).reshape(-1)
        codes = np.empty(fixed.shape, dtype=self.type)
        low, high, mask = int(fmt.min_level), int(fmt.max_level), (1 << fmt.bits) - 1
        rows = fixed.reshape(len(fixed), -1), codes.reshape(len(fixed), -1)
        elementwise.quantize_samples(rows[0], multipliers, *self.parts[1:], low, high, mask, rows[1])
        run.values[self.node.name] = codes


class AdapterStep:
    """The channels' sums by kernel, and what the reference engine makes of them."""

    def __init__(self, node: Adapter) -> None:
        self.node, self.reads = node, node.inputs

    def __call__(self, run: Run) -> None:
        """Add the node's tensor to the run."""
        x = run.values[self.node.inputs[0]]
        image = x if x.ndim == 4 else x[:, None, None, :]
        sums = np.empty((len(image), 1, 1, image.shape[3]), dtype=np.int64)
        elementwise.average_pool(image, image.shape[1:3], (1, 1), 1, 0, 0, sums)
        run.values[self.node.name] = reference.adapt_sums(self.node, sums[:, 0, 0])


class AveragePoolStep:
    """Mean over windows."""

    def __init__(self, node: AvgPool, shape: tuple[int, ...]) -> None:
        self.node, self.shape, self.reads = node, (*shape[1:], shape[0]), node.inputs
        self.parts = integer_parts(node.requantizer)

    def __call__(self, run: Run) -> None:
        """Add the node's tensor to the run."""
        image = run.values[self.node.inputs[0]]
        out = np.empty((len(image), *self.shape), dtype=image.dtype)
        elementwise.average_pool(image, self.node.kernel, self.node.stride, *self.parts, out)
        run.values[self.node.name] = out


class MaxPoolStep:
    """Maximum over windows."""

    def __init__(self, node: MaxPool, shape: tuple[int, ...]) -> None:
        self.node, self.shape, self.reads = node, (*shape[1:], shape[0]), node.inputs

    def __call__(self, run: Run) -> None:
        """Add the node's tensor to the run."""
        image = run.values[self.node.inputs[0]]
        out = np.empty((len(image), *self.shape), dtype=image.dtype)
        elementwise.max_pool(image, self.node.kernel, self.node.stride, *self.node.padding, out)
        run.values[self.node.name] = out


class ReferenceStep:
    """A node as the reference engine computes it: channels first, int64."""

    def __init__(self, node: Node, datapath: Datapath) -> None:
        self.node, self.datapath, self.reads = node, datapath, node.inputs
        self.type = {"fixed": fixed_type(datapath), "codes": np.uint16}.get(node.produces, np.int64)

    def __call__(self, run: Run) -> None:
        """Add the node's tensor to the run."""
        context = reference.Context(self.node.name, self.datapath, run.overflows)
        inputs = [channels_first(run.values[name]).astype(np.int64) for name in self.node.inputs]
        result = reference.STEPS[type(self.node)](self.node, context, *inputs)
        run.values[self.node.name] = channels_last(result).astype(self.type)


def fits_int64(requantizer: Requantizer, largest: int) -> bool:
    """Return whether (x * multiplier + half) >> shift, one for all channels, fits int64 for |x| up to `largest`."""
    if requantizer.multiplier.ndim or requantizer.rounding not in ("half_up", "floor"):
        return False
    return largest * requantizer.largest_multiplier + (1 << int(requantizer.shift)) < 1 << 63


def integer_parts(requantizer: Requantizer) -> tuple[int, int, int]:
    """Return multiplier, half and shift of (x * multiplier + half) >> shift."""
    shift = int(requantizer.shift)
    half = (1 << shift) >> 1 if requantizer.rounding == "half_up" else 0
    return int(requantizer.multiplier), half, shift


def fixed_type(datapath: Datapath) -> type[np.signedinteger[Any]]:
    """Return the integer type that holds the datapath."""
    return np.int32 if datapath.bits <= 32 else np.int64


def channels_first(value: Array) -> Array:
    """Return (N, H, W, C) as (N, C, H, W); (N, C) as it is."""
    return value.transpose(0, 3, 1, 2) if value.ndim == 4 else value


def channels_last(value: Array) -> Array:
    """Return (N, C, H, W) as (N, H, W, C) in memory; (N, C) as it is."""
    return np.ascontiguousarray(value.transpose(0, 2, 3, 1)) if value.ndim == 4 else value


def _flat(value: Array) -> Array:
    return value.reshape(-1, value.shape[-1])


def _floats(bound: tuple[int, int]) -> tuple[float, float]:
    return float(bound[0]), float(bound[1])
