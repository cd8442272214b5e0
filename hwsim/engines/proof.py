"""Which floating-point type sums a layer's products exactly: derived from the weight codes, before the layer runs.

A sum of integers is exact in floating point, in any order, as long as no partial sum exceeds 2^24 (float32) or 2^53
(float64). The products come as terms (`Multiplier.terms`), so what counts is the sum of the terms' magnitudes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.accumulator import partial_sum_range
from hwsim.arithmetic import IntArray, register_range
from hwsim.nodes import Matmul

EXACT_BITS = {"float32": 24, "float64": 53}


@dataclass(frozen=True)
class Proof:
    """The cheapest exact way to compute a layer.

    dtype: "float32", "float64", or None if neither holds the sums or the sums depend on their order.
    bound: largest magnitude of any partial sum of any terms, over all channels.
    reason: one line that says why.
    """

    dtype: str | None
    bound: int
    reason: str


def prove(node: Matmul) -> Proof:
    """Return the cheapest floating-point type in which the layer's sums are exact."""
    bound = _largest_partial_sum(node)
    if node.accumulator.overflow == "saturate" and not saturation_excluded(node):
        return Proof(None, bound, "the accumulator can saturate, so the order of additions matters")
    for dtype, bits in EXACT_BITS.items():
        if bound <= 1 << bits:
            return Proof(dtype, bound, f"partial sums reach at most {bound} <= 2^{bits}")
    return Proof(None, bound, f"partial sums can reach {bound} > 2^{EXACT_BITS['float64']}")


def saturation_excluded(node: Matmul) -> bool:
    """Return whether no partial sum can leave the accumulator."""
    low, high = partial_sum_range(node.multiplier, node.weight)
    lowest, highest = register_range(node.accumulator.bits)
    return lowest <= int(low.min()) and int(high.max()) <= highest


def _largest_partial_sum(node: Matmul) -> int:
    """Return the bound as a Python integer: terms of wide products need not fit 64 bits."""
    terms = node.multiplier.terms()
    per_code = sum(_magnitude(w) * int(np.abs(a).max()) for w, a in zip(terms.weight, terms.activation, strict=True))
    channels = per_code[node.weight.reshape(len(node.weight), -1)].sum(axis=1)
    return max(int(channel) for channel in channels)


def _magnitude(weights: IntArray) -> NDArray[np.object_]:
    return np.abs(weights).astype(object)
