"""What an integer network's numbers tell of its layers beyond their shape."""

from typing import Any

import numpy as np

from hwsim.arithmetic import IntArray, Requantizer
from hwsim.multipliers import Multiplier
from hwsim.workload import WeightFacts

SHIFT_BITS = 6  #: A shift is 0..62.

Fields = dict[str, Any]


def weight_facts(multiplier: Multiplier, codes: IntArray) -> WeightFacts:
    """Return what the codes tell beyond their shape; a zero in every term of the product is a zero weight."""
    factors = np.abs(multiplier.terms().weight)  # (terms, codes of the format)
    enclosed = sum(_enclosed_bits(row) for row in factors)
    return WeightFacts(
        operations=tuple(multiplier.operations(codes).items()),
        nonzero=int(np.count_nonzero(factors.max(axis=0)[codes])),
        enclosed_bits=int(np.sum(np.asarray(enclosed)[codes])),
    )


def scale_fields(requantizer: Requantizer) -> Fields:
    """Return how many scales a requantizer stores, and their bits: multiplier, its sign if it needs one, shift."""
    bits = requantizer.largest_multiplier.bit_length() + bool((requantizer.multiplier < 0).any())
    return {"scales": int(requantizer.multiplier.size), "scale_bits": bits + SHIFT_BITS}


def _enclosed_bits(magnitudes: IntArray) -> IntArray:
    """Return the bits from the first to the last set bit of each integer, 0 of zero."""
    lowest = magnitudes & -magnitudes
    shifted = magnitudes // np.maximum(lowest, 1)
    return np.array([int(value).bit_length() for value in shifted], dtype=np.int64)
