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
from hwsim.engines.epilogue import Codes, Epilogue, fixed_type
from hwsim.engines.simulate import Run
from hwsim.network import Datapath
from hwsim.nodes import Adapter, AdaptiveRescale, AvgPool, Input, Matmul, MaxPool, Node, Quantize

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

    results: names of its tensor.
    """

    def __init__(self, node: Matmul, layer: Layer, *results: str) -> None:
        self.node, self.layer, self.results, self.reads = node, layer, results, node.inputs

    def __call__(self, run: Run) -> None:
        """Add the layer's tensor to the run."""
        sums, overflowed = self.layer(run.values[self.node.inputs[0]])
        if self.layer.wrap_bits is not None:
            overflowed += elementwise.wrap(sums, self.layer.wrap_bits)
        run.overflows[self.node.name] += overflowed
        run.values |= dict.fromkeys(self.results, sums)


class ChainStep:
    """A chain of nodes and, unless its sums are kept, the layer before it; a few images at a time.

    source: the tensor that is read; shape: of the result, per sample, channels last; together: how many images.
    fixed, codes: names of the result and of its codes, which may be none.
    """

    def __init__(
        self,
        source: str,
        layer: Layer | None,
        epilogue: Epilogue,
        shape: tuple[int, ...],
        together: int,
        fixed: tuple[str, ...],
        codes: tuple[str, ...],
    ) -> None:
        self.source, self.layer, self.epilogue, self.shape, self.together = source, layer, epilogue, shape, together
        self.fixed, self.codes, self.addend = fixed, codes, epilogue.chain.addend
        self.betas = epilogue.chain.rescale.inputs[1:]
        self.reads = (source, *self.betas) if self.addend is None else (source, *self.betas, self.addend)

    def __call__(self, run: Run) -> None:
        """Add the chain's tensors to the run."""
        source, addend = run.values[self.source], None if self.addend is None else run.values[self.addend]
        fixed, codes = self.epilogue.outputs((len(source), *self.shape))
        scale = self._scale(run)
        for first in range(0, len(source), self.together):
            part = slice(first, first + self.together)
            sums, overflowed = self.layer(source[part]) if self.layer else (source[part], 0)
            run.overflows[self.epilogue.layer] += overflowed
            added, *written = (None if array is None else array[part] for array in (addend, fixed, codes))
            own = scale if len(scale) == 1 else scale[part]
            self.epilogue(sums, own, added, written[0], written[1], run.overflows)
        run.values |= dict.fromkeys(self.fixed, fixed) | dict.fromkeys(self.codes, codes)

    def _scale(self, run: Run) -> Array:
        """Return the scales, (1, K) or, where they are adapted to each sample, (N, K)."""
        rescale = self.epilogue.chain.rescale
        if not isinstance(rescale, AdaptiveRescale):
            return self.epilogue.scale
        multiplier = multiplied(rescale.requantizer, run.values[rescale.inputs[1]], rescale.beta_bits)
        scale = np.ldexp(multiplier.astype(np.float64), -rescale.requantizer.shift.astype(np.int32))
        return np.ascontiguousarray(np.broadcast_to(scale, (len(scale), len(rescale.bias))))


class InputStep:
    """Pixels to fixed point, to codes, or both; images channels last."""

    def __init__(
        self, node: Input, datapath: Datapath, fixed: tuple[str, ...], codes: tuple[str, ...], rule: Codes | None
    ) -> None:
        self.node, self.datapath, self.fixed, self.codes, self.rule = node, datapath, fixed, codes, rule

    def __call__(self, run: Run, images: NDArray[np.float64]) -> None:
        """Add the tensors of images (N, C, H, W) or (N, C) to the run."""
        shaped = images if images.ndim == 4 else images[:, :, None, None]
        shape = (len(images), *shaped.shape[2:], shaped.shape[1])
        fixed = np.empty(shape, dtype=fixed_type(self.datapath)) if self.fixed else None
        codes = np.empty(shape, dtype=self.rule.type) if self.rule else None
        rails = float(self.datapath.range[0]), float(self.datapath.range[1])
        levels = self.rule.levels if self.rule else None
        run.overflows[self.node.name] += elementwise.read_pixels(
            shaped, 2.0**self.datapath.frac_bits, rails, fixed, levels, codes
        )
        for names, value in ((self.fixed, fixed), (self.codes, codes)):
            run.values |= {name: value if images.ndim == 4 else value[:, 0, 0] for name in names if value is not None}


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


class QuantizeStep:
    """Fixed point to codes of at most 16 bits."""

    def __init__(self, node: Quantize) -> None:
        self.node, self.parts, self.reads = node, integer_parts(node.requantizer), node.inputs
        self.type = code_type(node)

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
        self.node, self.shape, self.reads = node, shape, node.inputs
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
        self.node, self.shape, self.reads = node, shape, node.inputs

    def __call__(self, run: Run) -> None:
        """Add the node's tensor to the run."""
        image = run.values[self.node.inputs[0]]
        out = np.empty((len(image), *self.shape), dtype=image.dtype)
        elementwise.max_pool(image, self.node.kernel, self.node.stride, *self.node.padding, None, out)
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


def code_type(node: Quantize) -> type[np.unsignedinteger[Any]]:
    """Return the integer type that holds a quantizer's codes."""
    return np.uint8 if node.format.bits <= 8 else np.uint16


def channels_first(value: Array) -> Array:
    """Return (N, H, W, C) as (N, C, H, W); (N, C) as it is."""
    return value.transpose(0, 3, 1, 2) if value.ndim == 4 else value


def channels_last(value: Array) -> Array:
    """Return (N, C, H, W) as (N, H, W, C) in memory; (N, C) as it is."""
    return np.ascontiguousarray(value.transpose(0, 2, 3, 1)) if value.ndim == 4 else value
