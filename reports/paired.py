"""Differences paired over seeds: how far two designs lie apart, and how sure a few runs make that."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit

CONFIDENCE = 0.95
DIGITS = 12  #: Differences are rounded to these: what subtraction adds is below, one image of 10^11 above.


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences and its two-sided 95 % interval after Student.

    Attributes:
        seeds: how many pairs.
        mean: in the unit of the values.
        low: lower end of the interval; None: the pairs show no spread, being one or all alike.
        high: upper end, likewise.
    """

    seeds: int
    mean: float
    low: float | None
    high: float | None


def paired_differences(ours: Mapping[int, float], theirs: Mapping[int, float]) -> dict[int, float]:
    """Return ours - theirs by seed, over the seeds that both have, rising."""
    return {seed: round(ours[seed] - theirs[seed], DIGITS) for seed in sorted(ours.keys() & theirs.keys())}


def paired_difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Difference | None:
    """Return the mean of ours - theirs over the seeds that both have; None if they share none.

    The interval supposes normal differences, and knows nothing of how many other pairs are looked at.
    """
    return mean_difference(list(paired_differences(ours, theirs).values()))


def mean_difference(differences: Sequence[float]) -> Difference | None:
    """Return the mean of these differences with its interval; None if there are none."""
    if not differences:
        return None
    mean = fmean(differences)
    if len(set(differences)) == 1:
        return Difference(len(differences), mean, None, None)
    half = student_quantile(len(differences) - 1) * stdev(differences) / math.sqrt(len(differences))
    return Difference(len(differences), mean, mean - half, mean + half)


def student_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """Return the half-width, in standard errors, of a two-sided interval after Student (Biometrika 6, 1908).

    Raises:
        ValueError: freedom is below 1, or the confidence is not between 0 and 1.
    """
    if freedom < 1 or not 0 < confidence < 1:
        raise ValueError(f"a quantile needs freedom >= 1 and 0 < confidence < 1, got {freedom} and {confidence}")
    return float(stdtrit(freedom, (1 + confidence) / 2))
