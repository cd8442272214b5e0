"""The Pareto front: what no other design beats in both cost and gain."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_front(cost: ArrayLike, gain: ArrayLike) -> NDArray[np.bool_]:
    """Return which points no other point dominates, shape (points,).

    A point dominates another if it costs no more, gains no less, and is better in one of the two. Equal points do not
    dominate each other: both are on the front. A point with a missing (NaN) cost or gain is never on it.

    Raises:
        ValueError: cost and gain are not of equal length.
    """
    costs, gains = (np.asarray(values, dtype=np.float64) for values in (cost, gain))
    if costs.shape != gains.shape or costs.ndim != 1:
        raise ValueError(f"cost and gain must be of equal length, got shapes {costs.shape} and {gains.shape}")
    no_worse = (costs <= costs[:, None]) & (gains >= gains[:, None])  # [i, j]: j is no worse than i in both
    better = (costs < costs[:, None]) | (gains > gains[:, None])
    dominated = (no_worse & better).any(axis=1)
    return ~dominated & ~np.isnan(costs) & ~np.isnan(gains)
