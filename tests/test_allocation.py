"""Allocation of bits: optimal by brute force, within the budget exactly, refused where nothing fits."""

import re
from itertools import product

import numpy as np
import pytest

from trainers.allocation import LayerChoices, allocate, overrides
from trainers.budget import Budget

WIDTHS = (2, 3, 4)


def layers(count: int, seed: int) -> list[LayerChoices]:
    """Return layers of random sizes with importances that fall as bits grow."""
    rng = np.random.default_rng(seed)

    def importance() -> dict[int, float]:
        return dict(zip(WIDTHS, sorted(rng.random(len(WIDTHS)).tolist(), reverse=True), strict=True))

    return [
        LayerChoices(f"conv{i}", int(rng.integers(1, 10**6)), int(rng.integers(1, 10**4)), importance(), importance())
        for i in range(count)
    ]


def totals(network: list[LayerChoices], pairs: tuple[tuple[int, int], ...]) -> tuple[float, int, int]:
    """Return importance, bit operations and bits of weights of one allocation, written out."""
    rows = list(zip(network, pairs, strict=True))
    return (
        sum(2 * layer.weight_importance[w] + layer.activation_importance[a] for layer, (w, a) in rows),
        sum(layer.macs * w * a for layer, (w, a) in rows),
        sum(layer.weights * w for layer, (w, _) in rows),
    )


@pytest.mark.parametrize("seed", range(8))
def test_no_allocation_within_the_budgets_is_better(seed: int) -> None:
    network = layers(3, seed)
    every = [totals(network, pairs) for pairs in product(product(WIDTHS, WIDTHS), repeat=3)]
    rng = np.random.default_rng(seed + 100)
    bops, size = (sorted(row[kind] for row in every)[int(rng.integers(len(every)))] for kind in (1, 2))
    for budgets in (
        [Budget("bops", bops)],
        [Budget("size", size / 8)],
        [Budget("bops", bops), Budget("size", size / 8)],
    ):
        kinds = [budget.kind for budget in budgets]
        chosen = allocate(network, budgets)
        total = totals(network, tuple((row.weight_bits, row.activation_bits) for row in chosen))
        fitting = [
            row for row in every if ("bops" not in kinds or row[1] <= bops) and ("size" not in kinds or row[2] <= size)
        ]
        assert total in fitting
        assert total[0] == pytest.approx(min(row[0] for row in fitting), abs=1e-9)
        assert sum(row.importance for row in chosen) == pytest.approx(total[0])
        assert (sum(row.bops for row in chosen), sum(row.weight_storage_bits for row in chosen)) == total[1:]


def test_one_operation_less_than_an_allocation_needs_excludes_it() -> None:
    network = layers(12, 3)
    first = allocate(network, [Budget("bits", 3)])
    cost = sum(row.bops for row in first)
    assert cost <= 9 * sum(layer.macs for layer in network)
    assert allocate(network, [Budget("bops", cost)]) == first
    less = allocate(network, [Budget("bops", cost - 1)])
    assert sum(row.bops for row in less) < cost
    assert sum(row.importance for row in less) > sum(row.importance for row in first)


def test_a_budget_of_bits_is_that_of_the_uniform_network() -> None:
    network = layers(4, 1)
    at_bops = allocate(network, [Budget("bops", 9 * sum(layer.macs for layer in network))])
    assert allocate(network, [Budget("bits", 3)]) == at_bops
    widest = allocate(network, [Budget("bits", 4)])
    assert {(row.weight_bits, row.activation_bits) for row in widest} == {(4, 4)}


def test_the_smallest_possible_budget_is_named_and_works() -> None:
    network = layers(3, 0)
    least = {"bops": 4 * sum(layer.macs for layer in network), "size": sum(layer.weights for layer in network) / 4}
    for kind, limit in {**least, "bits": 2}.items():
        with pytest.raises(ValueError, match=re.escape(f"the least that these layers can have is {kind}={limit:.10g}")):
            allocate(network, [Budget(kind, limit * 0.999)])
        assert {row.weight_bits for row in allocate(network, [Budget(kind, limit)])} == {2}


@pytest.mark.parametrize(("count", "budgets"), [(0, [Budget("bits", 3)]), (2, [])])
def test_nothing_to_allocate_is_refused(count: int, budgets: list[Budget]) -> None:
    with pytest.raises(ValueError, match="an allocation needs layers and a budget"):
        allocate(layers(count, 0), budgets)


def test_overrides_name_each_layer() -> None:
    chosen = allocate(layers(2, 0), [Budget("bits", 4)])
    assert overrides(chosen) == {name: {"bits": 4, "act_bits": 4} for name in ("conv0", "conv1")}
