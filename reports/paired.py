"""Differences paired over seeds: how far two designs lie apart, and how sure a few runs make that."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev

import numpy as np

CONFIDENCE = 0.95
STEPS = 2000  #: Intervals of Simpson's rule; the quantiles are then good to more than six digits.


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences and its two-sided 95 % interval after Student.

    Attributes:
        seeds: how many pairs.
        mean: in the unit of the values.
        low: lower end of the interval; None: one pair, of whose spread nothing is known.
        high: upper end, likewise.
    """

    seeds: int
    mean: float
    low: float | None
    high: float | None


def paired_difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Difference | None:
    """Return ours - theirs over the seeds that both have; None if they share none.

    The interval supposes normal differences, and knows nothing of how many other pairs are looked at.
    """
    differences = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    if not differences:
        return None
    mean = fmean(differences)
    if len(differences) == 1:
        return Difference(1, mean, None, None)
    half = student_quantile(len(differences) - 1) * stdev(differences) / math.sqrt(len(differences))
    return Difference(len(differences), mean, mean - half, mean + half)


@cache
def student_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """Return the half-width, in standard errors, of a two-sided interval after Student (Biometrika 6, 1908).

    With t = sqrt(freedom) tan(a) the density becomes cos(a)^(freedom - 1) on a finite range, which Simpson's rule
    integrates and bisection inverts.

    Raises:
        ValueError: freedom is below 1, or the confidence is not between 0 and 1.
    """
    if freedom < 1 or not 0 < confidence < 1:
        raise ValueError(f"a quantile needs freedom >= 1 and 0 < confidence < 1, got {freedom} and {confidence}")
    whole, low, high = _mass(freedom, math.pi / 2), 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _mass(freedom, middle) < confidence * whole else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _mass(freedom: int, angle: float) -> float:
    """Return the integral of cos^(freedom - 1) from 0 to the angle."""
    heights = np.cos(np.linspace(0, angle, STEPS + 1)) ** (freedom - 1)
    weights = np.r_[1, np.tile([4, 2], STEPS // 2)[:-1], 1]
    return float(weights @ heights) * angle / STEPS / 3
