"""A rescaling and a quantizer as one straight line, rounded and clipped: what an 8-bit convolution can do by itself.

From a channel's sum to the next layer's code leads a staircase of a few steps, whose places follow exactly from the
integer arithmetic. A line a * sum + b, rounded to the nearest integer, has the same steps if it passes each of them by
a margin that floating-point errors cannot use up; then the circuit's integers cost no more than a multiplication.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray
from hwsim.engines.bounds import register_bounds
from hwsim.engines.fusion import Chain
from hwsim.engines.proof import EXACT_BITS
from hwsim.nodes import Matmul, Quantize

MARGIN = (
    2.0**-21
)  #: Relative to the largest value near a step: 8 times float32's rounding error; far off, order is kept.


@dataclass(frozen=True, eq=False)
class Line:
    """code = clip(round(slope * sum + offset), 0, top), per channel; float32."""

    slope: NDArray[np.float32]
    offset: NDArray[np.float32]
    top: int


def line_of(node: Matmul, chain: Chain, quantize: Quantize) -> Line | None:
    """Return the line with the same steps, or None if there is none or the steps are more than a line can show.

    Sums are taken to be float32, so channels whose registers hold more than 24 bits have none.
    """
    scale, fmt = quantize.requantizer.scale, quantize.format
    if fmt.zero_code != -fmt.min_level or fmt.bits > 8 or chain.add or chain.saturates or scale.ndim or scale < 0:
        return None
    staircase = _Staircase(node, chain, quantize)
    if max(-int(staircase.low.min()), int(staircase.high.max())) > 1 << EXACT_BITS["float32"]:
        return None
    slope = np.broadcast_to(chain.rescale.requantizer.scale * float(scale), len(chain.rescale.bias)).astype(np.float32)
    lowest, highest = staircase.offsets(slope.astype(np.float64))
    offset = ((lowest + highest) / 2).astype(np.float32)
    if ((highest - lowest) / 2 < MARGIN * (np.abs(offset) + fmt.count)).any():
        return None
    return Line(slope, offset, fmt.count - 1)


class _Staircase:
    """The codes of one layer's sums, channel by channel; a negative scale is read from the top down."""

    def __init__(self, node: Matmul, chain: Chain, quantize: Quantize) -> None:
        self.chain, self.quantize = chain, quantize
        self.sign = np.broadcast_to(np.where(chain.rescale.requantizer.multiplier < 0, -1, 1), len(chain.rescale.bias))
        ends = np.stack(register_bounds(node)) * self.sign
        self.low, self.high = ends.min(axis=0), ends.max(axis=0)

    def codes(self, ascending: IntArray) -> IntArray:
        """Return the codes of sums (levels, K), given times the sign of the scale."""
        value = self.chain.rescale.requantizer.apply(ascending * self.sign) + self.chain.rescale.bias
        if self.chain.first_clip is not None:
            value = np.clip(value, *self.chain.first_clip)
        lowest, count = int(self.quantize.format.min_level), self.quantize.format.count
        levels = self.quantize.requantizer.apply(value - self.quantize.offset)
        return np.clip(levels - lowest, 0, count - 1)

    def steps(self) -> IntArray:
        """Return the smallest sum (times the sign) that reaches each code from 1 on, high + 1 if none does."""
        levels = np.arange(1, self.quantize.format.count)[:, None]
        below = np.broadcast_to(self.low - 1, (len(levels), len(self.low)))
        reached = np.broadcast_to(self.high + 1, below.shape)
        while (reached - below > 1).any():
            middle = (below + reached) // 2
            at_least = self.codes(np.clip(middle, self.low, self.high)) >= levels
            below, reached = np.where(at_least, below, middle), np.where(at_least, middle, reached)
        return reached

    def offsets(self, slope: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the ends of the interval, per channel, in which the line's offset has all steps in place."""
        steps, rise = self.steps(), slope * self.sign
        middle = np.arange(len(steps))[:, None] + 0.5
        top = float(self.quantize.format.count)
        reach = np.where(steps <= self.high, middle - rise * steps, -top - np.abs(rise * self.high))
        miss = np.where(steps > self.low, middle - rise * (steps - 1), 2 * top + np.abs(rise * self.low))
        return reach.max(axis=0), miss.min(axis=0)
