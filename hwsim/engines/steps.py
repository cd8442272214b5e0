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
from hwsim.engines.levels import integer_parts, quantizer_parts
from hwsim.engines.simulate import Run
from hwsim.network import Datapath
from hwsim.nodes import (
    Adapter,
    AdaptiveRescale,
    AvgPool,
    Encode,
    Input,
    Matmul,
    MaxPool,
    Node,
    Quantize,
    Threshold,
)

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
        self.node, self.parts, self.reads = node, quantizer_parts(node), node.inputs
        self.type = code_type(node)

    def __call__(self, run: Run) -> None:
        """Add the node's tensor to the run."""
        fixed = run.values[self.node.inputs[0]]
        codes = np.empty(fixed.shape, dtype=self.type)
        elementwise.quantize(fixed.reshape(-1), *self.parts, codes.reshape(-1))
        run.values[self.node.name] = codes


class ThresholdStep:
    """Fixed point to codes, by comparisons."""

    def __init__(self, node: Threshold) -> None:
        self.node, self.reads = node, node.inputs
        self.codes = node.format.codes.astype(code_type(node))

    def __call__(self, run: Run) -> None:
        """Add the node's tensor to the run."""
        fixed = run.values[self.node.inputs[0]]
        codes = np.empty(fixed.shape, dtype=self.codes.dtype)
        elementwise.compare(fixed.reshape(-1), self.node.thresholds, self.codes, codes.reshape(-1))
        run.values[self.node.name] = codes


class AdaptiveQuantizeStep(QuantizeStep):
    """Fixed point to codes of at most 16 bits, with a multiplier per sample."""

    def __call__(self, run: Run) -> None:
        """Add the node's tensor to the run."""
        fixed = run.values[self.node.inputs[0]]
        multipliers = divided(self.node.requantizer, run.values[self.node.inputs[1]]).reshape(-1)
        codes = np.empty(fixed.shape, dtype=self.type)
        rows = fixed.reshape(len(fixed), -1), codes.reshape(len(fixed), -1)
        elementwise.quantize_samples(rows[0], multipliers, *self.parts[1:], rows[1])
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


def quantizer_fits(node: Quantize, largest: int) -> bool:
    """Return whether `quantizer_parts` exist and their arithmetic fits int64 for |x| up to `largest`."""
    zero = node.format.zero_code or 0
    return fits_int64(node.requantizer, largest + abs(node.offset), 1 + zero)


def code_type(node: Encode) -> type[np.unsignedinteger[Any]]:
    """Return the integer type that holds a node's codes."""
    return np.uint8 if node.format.bits <= 8 else np.uint16


def fits_int64(requantizer: Requantizer, largest: int, units: int = 1) -> bool:
    """Return whether (x * multiplier + half) >> shift, one for all channels, fits int64 for |x| up to `largest`.

    units: |half| is at most this times 2^shift.
    """
    if requantizer.multiplier.ndim or requantizer.rounding not in ("half_up", "floor"):
        return False
    return largest * requantizer.largest_multiplier + (units << int(requantizer.shift)) < 1 << 63


def channels_first(value: Array) -> Array:
    """Return (N, H, W, C) as (N, C, H, W); (N, C) as it is."""
    return value.transpose(0, 3, 1, 2) if value.ndim == 4 else value


def channels_last(value: Array) -> Array:
    """Return (N, C, H, W) as (N, H, W, C) in memory; (N, C) as it is."""
    return np.ascontiguousarray(value.transpose(0, 2, 3, 1)) if value.ndim == 4 else value
