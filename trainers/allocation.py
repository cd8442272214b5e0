"""Allocation of bits to layers: the cheapest sum of importances that fits a budget, by integer programming.

LIMPQ (Tang et al., "Mixed-Precision Neural Network Quantization via Learned Layer-wise Importance", ECCV 2022,
arXiv:2203.08368). Each layer l gets bits w_l for weights and a_l for activations, so that

    sum over l of s_a(l, a_l) + 2 s_w(l, w_l)   is least,
    sum over l of MACs_l w_l a_l <= bit operations   and/or   sum over l of weights_l w_l <= 8 * bytes.

The importance s is the step that LSQ learns for that layer at that width (`trainers.importance`): where a coarse width
hurts, its step is large. The first and the last layer have 8 bits and are no part of the sums, as in the authors' code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from trainers.budget import Budget

WEIGHT_FACTOR = 2.0  #: The importance of weights counts so much more than that of activations.


@dataclass(frozen=True)
class LayerChoices:
    """What is known of one layer: its size, and its importance at each width that it may get."""

    name: str
    macs: int  #: Multiplications per image.
    weights: int  #: How many weights it stores.
    weight_importance: Mapping[int, float]  #: By bits.
    activation_importance: Mapping[int, float]  #: By bits.

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Every (weight bits, activation bits) that the layer may get."""
        return list(product(self.weight_importance, self.activation_importance))

    def importance(self, weight_bits: int, activation_bits: int) -> float:
        """Return what these bits add to the sum that is minimised."""
        return WEIGHT_FACTOR * self.weight_importance[weight_bits] + self.activation_importance[activation_bits]

    def cost(self, kind: str, weight_bits: int, activation_bits: int) -> int:
        """Return the bit operations (bops) or the bits of storage (size) with these bits."""
        return weight_bits * (self.macs * activation_bits if kind == "bops" else self.weights)


@dataclass(frozen=True)
class AllocatedLayer:
    """The bits of one layer, and what they cost: a row of a printed table."""

    layer: str
    weight_bits: int
    activation_bits: int
    importance: float
    bops: int
    weight_storage_bits: int


def allocate(layers: Sequence[LayerChoices], budgets: Sequence[Budget]) -> list[AllocatedLayer]:
    """Return the bits of each layer with the least sum of importances within all of the budgets.

    Raises:
        ValueError: there are no layers or no budgets, or a budget is below the cost of the smallest widths, which the
            message gives.
        ArithmeticError: the solver failed, or went beyond a budget by its tolerance.
    """
    if not layers or not budgets:
        raise ValueError(f"an allocation needs layers and a budget, got {len(layers)} layers, {len(budgets)} budgets")
    limits = [_limit(layers, budget) for budget in budgets]
    rows = [(layer, pair) for layer in layers for pair in layer.pairs]
    taken = _solve(layers, rows, limits)
    chosen = [_allocated(*row) for row, is_taken in zip(rows, taken, strict=True) if is_taken]
    for kind, limit in limits:
        total = sum(row.bops if kind == "bops" else row.weight_storage_bits for row in chosen)
        if len(chosen) != len(layers) or total > limit:
            raise ArithmeticError(f"the solver's allocation has {kind} {total}, the limit is {limit}")
    return chosen


def overrides(rows: Sequence[AllocatedLayer]) -> dict[str, dict[str, Any]]:
    """Return what `QuantizationConfig.overrides` takes: the bits of each layer by its name."""
    return {row.layer: {"bits": row.weight_bits, "act_bits": row.activation_bits} for row in rows}


def _limit(layers: Sequence[LayerChoices], budget: Budget) -> tuple[str, int]:
    """Return the kind of cost and its limit; `bits=b` stands for the bit operations of b bits everywhere."""
    kind, limit = budget.kind, budget.limit
    if kind == "bits":
        kind, limit = "bops", budget.limit**2 * sum(layer.macs for layer in layers)
    elif kind == "size":
        limit *= 8
    least = sum(min(layer.cost(kind, *pair) for pair in layer.pairs) for layer in layers)
    if limit < least:
        smallest = {"bits": (least / sum(layer.macs for layer in layers)) ** 0.5, "size": least / 8, "bops": least}
        raise ValueError(
            f"the budget {budget.kind}={budget.limit:g} is too small: the least that these layers can have is "
            f"{budget.kind}={smallest[budget.kind]:.10g}"
        )
    return kind, int(limit)


def _solve(
    layers: Sequence[LayerChoices],
    rows: Sequence[tuple[LayerChoices, tuple[int, int]]],
    limits: Sequence[tuple[str, int]],
) -> NDArray[np.bool_]:
    """Return which of the rows, pairs of bits for a layer, are taken: one of each layer's."""
    one_each = np.array([[row[0] is layer for row in rows] for layer in layers], float)
    constraints = [LinearConstraint(one_each, 1, 1)]
    for kind, limit in limits:
        costs = np.array([layer.cost(kind, *pair) for layer, pair in rows])
        unit = int(np.gcd.reduce(costs))  # small integers keep the solver's tolerance below one unit
        constraints.append(LinearConstraint(costs / unit, -np.inf, limit // unit))
    importances = [layer.importance(*pair) for layer, pair in rows]
    whole = np.ones(len(rows))
    result = milp(
        importances, integrality=whole, bounds=Bounds(0, 1), constraints=constraints, options={"mip_rel_gap": 0}
    )
    if result.x is None:
        raise ArithmeticError(f"the solver found no allocation: {result.message}")
    return np.asarray(result.x > 0.5)


def _allocated(layer: LayerChoices, pair: tuple[int, int]) -> AllocatedLayer:
    costs = [layer.cost(kind, *pair) for kind in ("bops", "size")]
    return AllocatedLayer(layer.name, *pair, layer.importance(*pair), *costs)
