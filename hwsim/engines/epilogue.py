"""What follows a layer's sums, in one or two kernels: wrapping, pooling, rescaling, clipping, adding, quantizing.

Engines give it a few images at a time, so that the sums stay in the processor's cache.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engines import elementwise
from hwsim.engines.fusion import Chain
from hwsim.engines.levels import Levels
from hwsim.engines.staircase import Line
from hwsim.network import Datapath
from hwsim.nodes import MaxPool

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Codes:
    """How a chain's result becomes codes: by levels or, from the sums themselves, along a line if there is one."""

    levels: Levels
    type: type[np.unsignedinteger[Any]]
    line: Line | None = None


class Epilogue:
    """A chain's kernels.

    layer: name of the layer; wrap_bits: register width that its sums are wrapped to, or None; fixed, codes: what
    becomes of the result, fixed point, codes, or both.
    """

    def __init__(
        self, chain: Chain, datapath: Datapath, wrap_bits: int | None, fixed: bool, codes: Codes | None
    ) -> None:
        self.chain, self.layer, self.wrap_bits, self.codes = chain, chain.rescale.inputs[0], wrap_bits, codes
        self.type, self.keeps_fixed = fixed_type(datapath), fixed
        self.line = codes.line if codes and not fixed else None
        requantizer, channels = chain.rescale.requantizer, len(chain.rescale.bias)
        self.scale = np.ascontiguousarray(np.broadcast_to(requantizer.scale, (1, channels)))
        self.half = 0.5 if requantizer.rounding == "half_up" else 0.0
        self.sign = np.where(self.scale[0] < 0, -1, 1) if (self.scale < 0).any() else None
        number: Any = np.float64 if chain.saturates else self.type
        self.rails, self.bias = _pair(datapath.range, number), chain.rescale.bias.astype(number)
        self.clips = [_pair(clip or datapath.range, number) for clip in (chain.first_clip, chain.last_clip)]

    def outputs(self, shape: tuple[int, ...]) -> tuple[Array | None, Array | None]:
        """Return empty arrays for the fixed point and the codes of images, shape (N, OY, OX, K) or (N, K)."""
        fixed = np.empty(shape, dtype=self.type) if self.keeps_fixed else None
        return fixed, np.empty(shape, dtype=self.codes.type) if self.codes else None

    def __call__(
        self,
        sums: Array,
        scale: Array,
        addend: Array | None,
        fixed: Array | None,
        codes: Array | None,
        overflows: Counter[str],
    ) -> None:
        """Finish the sums of some images, overwriting them; addend, fixed and codes: of the same images.

        scale: (1, K), or of each of these images, (N, K).
        """
        up = None if self.wrap_bits is None else np.int32(1 << max(32 - self.wrap_bits, 0))
        if self.wrap_bits is not None and (self.chain.pool or self.chain.saturates or sums.dtype.itemsize > 4):
            overflows[self.layer] += elementwise.wrap(sums, self.wrap_bits)
            up = None
        if self.chain.pool:
            sums = self._pooled(sums, self.chain.pool)
        if self.line is not None and codes is not None:
            up, top = np.int32(1) if up is None else up, np.float32(self.line.top)
            operands = self.line.slope, self.line.offset, top
            overflows[self.layer] += elementwise.codes_along_line(flat(sums), up, *operands, flat(codes))
            return
        fixed = np.empty(sums.shape, dtype=self.type) if fixed is None else fixed
        self._rescale(flat(sums), up, scale, None if addend is None else flat(addend), flat(fixed), overflows)
        if self.codes and codes is not None:
            elementwise.encode(fixed.reshape(-1), self.codes.levels, codes.reshape(-1))

    def _rescale(
        self,
        sums: Array,
        up: np.int32 | None,
        scale: Array,
        addend: Array | None,
        fixed: Array,
        overflows: Counter[str],
    ) -> None:
        half, (first, last) = self.half, self.clips
        if not self.chain.saturates:
            overflows[self.layer] += elementwise.rescale(sums, up, scale, half, self.bias, first, addend, last, fixed)
            return
        rescaled, added = elementwise.rescale_saturating(
            sums, scale, half, self.bias, self.rails, first, addend, last, fixed
        )
        overflows[self.chain.rescale.name] += rescaled
        if self.chain.add:
            overflows[self.chain.add.name] += added

    def _pooled(self, sums: Array, pool: MaxPool) -> Array:
        """Return what has the largest result in each window: rescaling and clipping keep or reverse the order."""
        size = pool.output_shape((sums.shape[3], *sums.shape[1:3]))
        out = np.empty((len(sums), *size[1:], size[0]), dtype=sums.dtype)
        sign = None if self.sign is None else self.sign.astype(sums.dtype)
        elementwise.max_pool(sums, pool.kernel, pool.stride, *pool.padding, sign, out)
        return out


def fixed_type(datapath: Datapath) -> type[np.signedinteger[Any]]:
    """Return the integer type that holds the datapath."""
    return np.int32 if datapath.bits <= 32 else np.int64


def flat(value: Array) -> Array:
    """Return images (N, H, W, C) as (positions, C); (N, C) as it is."""
    return value.reshape(-1, value.shape[-1])


def _pair(bound: tuple[int, int], number: Any) -> tuple[Any, Any]:
    return number(bound[0]), number(bound[1])
