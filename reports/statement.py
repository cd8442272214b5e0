"""Differences in plain sentences: what the runs show, and what they could not have shown."""

import math

from reports.paired import Difference
from reports.significance import LEVEL, Comparison

NOTHING = "no difference shown"


def signed(share: float) -> str:
    """Return a share in percentage points with its sign."""
    return f"{100 * share:+.2f}".replace("-", "−")  # noqa: RUF001  # a minus sign, as wide as a plus


def points(difference: Difference) -> str:
    """Return a difference of accuracies in words: its mean, its interval, and how many pairs."""
    mean = f"{signed(difference.mean)} points"
    if difference.low is None or difference.high is None:
        if difference.seeds == 1:
            return f"{mean} (one seed: its spread is not known)"
        return f"{mean} (in each of {difference.seeds} seeds: their spread is not known)"
    return f"{mean} ({_interval(difference.low, difference.high)}, paired over {difference.seeds} seeds)"


def statement(comparison: Comparison) -> str:
    """Return what the runs say of a difference: shown or not, how large, how sure, and what could not be seen.

    >>> from reports.significance import compare_pair
    >>> statement(compare_pair(("b", {0: 0.91}), ("a", {0: 0.90})))
    '1 seed: +1.00 points; one seed shows no difference, whatever its size'
    """
    found = comparison.difference
    if found is None:
        return "no seed in common: nothing to compare"
    if found.seeds == 1:
        return f"1 seed: {signed(found.mean)} points; one seed shows no difference, whatever its size"
    verdict = _verdict(comparison)
    tests = ", ".join([*_p_values(comparison), *_correction(comparison)])
    if found.low is None or found.high is None:
        return f"{found.seeds} seeds: {signed(found.mean)} points in each, no spread to judge by; {verdict} ({tests})"
    interval = _interval(found.low, found.high)
    words = f"{found.seeds} seeds: {verdict}, {signed(found.mean)} points ({interval}; {tests})"
    even = ", even uncorrected" if comparison.comparisons > 1 else ""
    unseen = f"; an effect below {50 * (found.high - found.low):.2f} points could not have been seen{even}"
    return words + (unseen if verdict == NOTHING else _limit(comparison))


def _verdict(comparison: Comparison) -> str:
    if comparison.is_shown:
        return f"a difference is shown{' if differences are normal' if _limit(comparison) else ''}"
    by_itself = comparison.p is not None and comparison.p < LEVEL
    return "a difference is shown by itself but not after the correction" if by_itself else NOTHING


def _limit(comparison: Comparison) -> str:
    """Return what is to be said of seeds so few that the exact test, which supposes no normal differences, is blind."""
    enough = 2 + math.floor(-math.log2(LEVEL))
    return f"; the exact test cannot tell with fewer than {enough} seeds" if len(comparison.seeds) < enough else ""


def _interval(low: float, high: float) -> str:
    return f"95 % interval {signed(low)} to {signed(high)}"


def _p_values(comparison: Comparison) -> list[str]:
    """Return both p-values, the exact one with the least that so few seeds can give where that is what they gave."""
    words = [] if comparison.student_p is None else [f"Student's p = {comparison.student_p:.2g}"]
    if comparison.sign_flip_p is not None:
        least = 2.0 ** (1 - len(comparison.seeds))
        limit = f", the least that {len(comparison.seeds)} seeds can give" if comparison.sign_flip_p == least else ""
        words.append(f"sign-flip p = {comparison.sign_flip_p:.2g}{limit}")
    return words


def _correction(comparison: Comparison) -> list[str]:
    if comparison.comparisons < 2 or comparison.holm_p is None:
        return []
    return [f"p = {comparison.holm_p:.2g} after Holm's correction for {comparison.comparisons} comparisons"]
