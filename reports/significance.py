"""Whether designs differ: tests over paired seeds, corrected for how many designs are looked at."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from hwsim.errors import unknown_name
from reports.paired import DIGITS, Difference, mean_difference, paired_differences

LEVEL = 0.05  #: A difference is shown if its corrected p-value is below.
MOST_PAIRS = 40  #: Two halves of 2^20 sign patterns each are enumerated; more pairs are left to Student's test.


@dataclass(frozen=True)
class Comparison:
    """One design against a baseline, paired over the seeds that both were trained with.

    Attributes:
        design: name of the design.
        baseline: name of what it is compared with.
        difference: design less baseline, as shares in 0..1; None: they share no seed.
        student_p: two-sided p-value of Student's paired t-test; None: fewer than two pairs, or all alike.
        sign_flip_p: exact two-sided p-value over all sign flips; None: no pair, or more than `MOST_PAIRS`.
        seeds: the common seeds, rising.
        unpaired: seeds that only one of the two has, rising; they are left out.
        holm_p: the p-value that decides, after Holm's correction; None: nothing to decide by.
        comparisons: how many comparisons were corrected for, this one included.
    """

    design: str
    baseline: str
    difference: Difference | None
    student_p: float | None
    sign_flip_p: float | None
    seeds: tuple[int, ...]
    unpaired: tuple[int, ...]
    holm_p: float | None = None
    comparisons: int = 1

    @property
    def p(self) -> float | None:
        """The p-value before the correction: Student's, of alike differences that of sign flips."""
        return self.sign_flip_p if self.student_p is None else self.student_p

    @property
    def is_shown(self) -> bool:
        """Whether the runs show a difference, at `LEVEL` after the correction."""
        return self.holm_p is not None and self.holm_p < LEVEL


def compare(designs: Mapping[str, Mapping[int, float]], baseline: str) -> list[Comparison]:
    """Return every other design against the baseline, with Holm's correction for their number.

    Args:
        designs: accuracies, as shares in 0..1, by seed and by name.
        baseline: one of the names.

    Raises:
        ValueError: there is no such design.
    """
    if baseline not in designs:
        raise unknown_name("design", baseline, designs)
    others = ((name, values) for name, values in designs.items() if name != baseline)
    return corrected(compare_pair((name, values), (baseline, designs[baseline])) for name, values in others)


def compare_pair(ours: tuple[str, Mapping[int, float]], theirs: tuple[str, Mapping[int, float]]) -> Comparison:
    """Return one design, given by name and accuracies by seed, against another; nothing is corrected."""
    (design, values), (baseline, base) = ours, theirs
    pairs = paired_differences(values, base)
    differences = list(pairs.values())
    found = Comparison(
        design,
        baseline,
        mean_difference(differences),
        student_p(differences),
        sign_flip_p(differences),
        tuple(pairs),
        tuple(sorted(values.keys() ^ base.keys())),
    )
    return replace(found, holm_p=found.p)


def corrected(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Return the comparisons with the p-values that decide corrected for their number."""
    found = list(comparisons)
    tested = sum(comparison.p is not None for comparison in found)
    adjusted = holm([comparison.p for comparison in found])
    return [replace(one, holm_p=p, comparisons=tested) for one, p in zip(found, adjusted, strict=True)]


def student_p(differences: Sequence[float]) -> float | None:
    """Return the two-sided p-value of Student's paired t-test; None without a spread to measure the mean by.

    It supposes normal differences.
    """
    if len(set(differences)) < 2:
        return None
    t = fmean(differences) / (stdev(differences) / math.sqrt(len(differences)))
    return float(2 * stdtr(len(differences) - 1, -abs(t)))


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """Return the exact two-sided p-value under random signs (Fisher, The Design of Experiments, 1935, section 21).

    It is the share of all 2^n patterns of signs whose sum is as far from 0 as the one seen, so at least 2 / 2^n. It
    supposes differences that are symmetric around 0 where there is no effect. The sums of the two halves of the pairs
    are matched by sorting. None: no pair, or more than `MOST_PAIRS`.
    """
    if not 0 < len(differences) <= MOST_PAIRS:
        return None
    half = len(differences) // 2
    first, second = _signed_sums(differences[:half]), np.sort(_signed_sums(differences[half:]))
    least = abs(math.fsum(differences)) - len(differences) * 10.0**-DIGITS
    if least <= 0:
        return 1.0
    above = len(second) - np.searchsorted(second, least - first)
    return float(2 * above.sum() / 2.0 ** len(differences))  # the patterns come in pairs of opposite signs


def _signed_sums(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the sums of the values under all patterns of signs, float64[2^n]."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate((sums + value, sums - value))
    return sums


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values corrected for their number (Holm, Scandinavian Journal of Statistics 6, 1979); None stays.

    The k-th smallest of m is multiplied by m - k + 1, and is at least as large as the ones before it.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        adjusted[i] = largest
    return adjusted
