"""A quantizer as a straight line in float32, rounded: exact for values that are clipped to its range first."""

from typing import NamedTuple

import numpy as np

from hwsim.arithmetic import Requantizer
from hwsim.engines.proof import EXACT_BITS
from hwsim.nodes import Quantize

#: Relative to the largest value near a step: 4 times what rounding slope * value, the offset and their sum can do.
MARGIN = 2.0**-21


class Levels(NamedTuple):
    """code = round(clip(value, first, last) * slope + offset) & mask, the arithmetic in float32.

    first, last: the highest value of the lowest level, and the lowest value of the highest level.
    """

    first: int
    last: int
    slope: np.float32
    offset: np.float32
    mask: int


def levels_of(node: Quantize) -> Levels | None:
    """Return the line, or None if the requantizer has another form or steps that float32 cannot show."""
    requantizer = node.requantizer
    if requantizer.multiplier.ndim or requantizer.rounding not in ("half_up", "floor"):
        return None
    multiplier, half, shift, low, high, mask = quantizer_parts(node)
    if not 0 < multiplier < 1 << shift:
        return None
    steps = range(low + 1, high + 1)
    starts = [-((half - (level << shift)) // multiplier) for level in steps]
    if max(abs(starts[0] - 1), abs(starts[-1])) > 1 << EXACT_BITS["float32"]:
        return None
    slope = np.float32(multiplier / (1 << shift))
    middles = np.array(steps) - 0.5 - float(slope) * np.array(starts)
    lowest, highest = float(middles.max()), float(middles.min()) + float(slope)
    largest = max(-low, high) + abs(lowest) + 1
    if slope >= 1 or (highest - lowest) / 2 < MARGIN * largest:
        return None
    return Levels(starts[0] - 1, starts[-1], slope, np.float32((lowest + highest) / 2), mask)


def quantizer_parts(node: Quantize) -> tuple[int, int, int, int, int, int]:
    """Return multiplier, half, shift, low, high, mask: code = clip((x * multiplier + half) >> shift, low, high) & mask.

    The offset and the zero code have become part of half.
    """
    (multiplier, half, shift), fmt = integer_parts(node.requantizer), node.format
    zero = fmt.zero_code or 0
    half += (zero << shift) - node.offset * multiplier
    return multiplier, half, shift, int(fmt.min_level) + zero, int(fmt.max_level) + zero, (1 << fmt.bits) - 1


def integer_parts(requantizer: Requantizer) -> tuple[int, int, int]:
    """Return multiplier, half and shift of (x * multiplier + half) >> shift."""
    shift = int(requantizer.shift)
    half = (1 << shift) >> 1 if requantizer.rounding == "half_up" else 0
    return int(requantizer.multiplier), half, shift
