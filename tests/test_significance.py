"""Tests over paired seeds against enumeration and printed values, and the sentences that they come to."""

from itertools import product

import numpy as np
import pytest

from reports.significance import MOST_PAIRS, Comparison, compare, compare_pair, corrected, holm, sign_flip_p, student_p
from reports.statement import points, statement

SLEEP = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
ALIKE = {0: 0.9, 1: 0.92, 2: 0.91}


def enumerated(differences: list[float]) -> float:
    """Go through all sign flips, in whole hundredths so that sums are exact."""
    whole = [round(100 * value) for value in differences]
    sums = [abs(sum(np.multiply(signs, whole))) for signs in product((1, -1), repeat=len(whole))]
    return sum(found >= abs(sum(whole)) for found in sums) / len(sums)


@pytest.mark.parametrize("count", range(1, 11))
@pytest.mark.parametrize("draw", range(4))
def test_sign_flips_are_those_of_brute_force(count: int, draw: int) -> None:
    """Small whole hundredths make many ties, which count as at least as far."""
    values = np.random.default_rng([count, draw]).integers(-3, 5, count) / 100
    assert sign_flip_p(values.tolist()) == enumerated(values.tolist())


def test_sign_flips_of_many_pairs_are_exact() -> None:
    """All of one sign and size: only the two patterns of equal signs reach the sum."""
    assert sign_flip_p([0.25] * 30) == 2.0**-29
    assert sign_flip_p([0.1] * MOST_PAIRS) == 2.0 ** (1 - MOST_PAIRS)
    assert sign_flip_p([0.1] * (MOST_PAIRS + 1)) is None
    assert sign_flip_p([]) is None
    assert sign_flip_p([0.0, 0.0]) == 1


def test_students_p_is_that_of_his_own_example() -> None:
    """The first drug of Student's sleep data (Biometrika 6, 1908): hours gained have t = 1.3257, p = 0.2176."""
    assert student_p(SLEEP) == pytest.approx(0.2176, abs=5e-5)
    assert student_p([-value for value in SLEEP]) == student_p(SLEEP)
    assert student_p([1.0, 2.0, 3.0]) == pytest.approx(1 - (12 / 14) ** 0.5)  # freedom 2, t = 2 sqrt 3: closed form


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.5, 0.5], [0.0, 0.0]])
def test_without_a_spread_student_says_nothing(values: list[float]) -> None:
    assert student_p(values) is None


def test_holm_steps_down_and_never_falls() -> None:
    """Of four: 0.01 x 4, then 0.02 x 3, then 0.03 x 2 raised to the one before, then 0.9."""
    assert holm([0.03, None, 0.01, 0.9, 0.02]) == pytest.approx([0.06, None, 0.04, 0.9, 0.06], abs=1e-15)
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([None]) == [None]
    assert holm([]) == []


def test_designs_are_compared_with_the_baseline_over_their_common_seeds() -> None:
    """Differences of b: 1, 2, 3 points, p = 0.0742; of c: none in common; of d: one."""
    base = {0: 0.90, 1: 0.91, 2: 0.92, 3: 0.5}
    found = compare({"a": base, "b": {0: 0.91, 1: 0.93, 2: 0.95, 9: 1.0}, "c": {7: 0.5}, "d": {0: 0.95}}, "a")
    b, c, d = found
    assert [one.design for one in found] == ["b", "c", "d"]
    assert {one.baseline for one in found} == {"a"}
    assert b.difference is not None
    assert b.difference.mean == pytest.approx(0.02)
    assert (b.seeds, b.unpaired, b.comparisons) == ((0, 1, 2), (3, 9), 2)
    assert b.student_p == pytest.approx(1 - (12 / 14) ** 0.5)
    assert b.holm_p == pytest.approx(2 * (1 - (12 / 14) ** 0.5))
    assert (b.sign_flip_p, b.is_shown) == (0.25, False)
    assert (c.difference, c.p, c.holm_p, c.is_shown) == (None, None, None, False)
    assert (d.student_p, d.sign_flip_p, d.is_shown) == (None, 1, False)


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown design 'uniform'.*\(known: a, b\)"):
        compare({"a": ALIKE, "b": ALIKE}, "uniform")


def shifted(by: dict[int, float]) -> Comparison:
    return compare_pair(("b", {seed: ALIKE.get(seed, 0.9) + by[seed] for seed in by}), ("a", {**ALIKE, 3: 0.9, 4: 0.9}))


def test_a_difference_that_is_not_shown_says_what_could_not_be_seen() -> None:
    """Differences of -0.1, -0.3, -0.2 points: the half-width is 4.3027 x 0.1 / sqrt 3 = 0.248."""
    assert statement(shifted({0: -0.001, 1: -0.003, 2: -0.002})) == (
        "3 seeds: no difference shown, −0.20 points (95 % interval −0.45 to +0.05; Student's p = 0.074, "  # noqa: RUF001
        "sign-flip p = 0.25, the least that 3 seeds can give); an effect below 0.25 points could not have been seen"
    )


def test_a_difference_that_is_shown_says_how_sure_it_is() -> None:
    """Differences of 7, 6 and 3.5 points: t = 5.284."""
    found = statement(shifted({0: 0.07, 1: 0.06, 2: 0.035}))
    shown = "3 seeds: a difference is shown if differences are normal, +5.50 points (95 % interval +1.02 to +9.98; "
    assert found.startswith(shown)
    assert found.endswith("; the exact test cannot tell with fewer than 6 seeds")
    assert "could not have been seen" not in found


@pytest.mark.parametrize(("seeds", "only_if_normal"), [(5, True), (6, False)])
def test_the_exact_test_can_tell_from_six_seeds_on(seeds: int, only_if_normal: bool) -> None:
    """All of one sign: the exact p-value is 2 / 2^5 = 0.0625, then 2 / 2^6 = 0.03125."""
    gains = {seed: 0.9 + 0.01 + 0.0001 * seed for seed in range(seeds)}
    found = compare_pair(("b", gains), ("a", dict.fromkeys(gains, 0.9)))
    assert (found.is_shown, found.sign_flip_p) == (True, 2 / 2**seeds)
    assert ("if differences are normal" in statement(found)) is only_if_normal
    assert ("the exact test cannot tell" in statement(found)) is only_if_normal


def test_a_correction_takes_back_what_one_of_many_may_be_by_chance() -> None:
    """Of the weak one -0.1, -0.3, +0.2 points: deviation 0.2517, half-width 4.3027 x 0.2517 / sqrt 3 = 0.625."""
    clear = shifted({0: 0.07, 1: 0.06, 2: 0.035})
    weak = shifted({0: -0.001, 1: -0.003, 2: 0.002})
    assert clear.is_shown
    first, second = corrected([clear, weak])
    assert not first.is_shown
    assert statement(first).startswith("3 seeds: a difference is shown by itself but not after the correction, +5.50 ")
    assert "p = 0.068 after Holm's correction for 2 comparisons" in statement(first)
    assert "could not have been seen" not in statement(first)
    assert statement(second).endswith("; an effect below 0.63 points could not have been seen, even uncorrected")


def test_statements_without_a_spread() -> None:
    one, same = shifted({0: 0.01}), shifted({0: 0.01, 1: 0.01, 2: 0.01})
    assert statement(one) == "1 seed: +1.00 points; one seed shows no difference, whatever its size"
    assert statement(same) == (
        "3 seeds: +1.00 points in each, no spread to judge by; no difference shown "
        "(sign-flip p = 0.25, the least that 3 seeds can give)"
    )
    assert statement(shifted({})) == "no seed in common: nothing to compare"
    assert statement(compare_pair(("b", ALIKE), ("a", ALIKE))) == (
        "3 seeds: +0.00 points in each, no spread to judge by; no difference shown (sign-flip p = 1)"
    )
    assert one.difference is not None
    assert same.difference is not None
    assert points(one.difference) == "+1.00 points (one seed: its spread is not known)"
    assert points(same.difference) == "+1.00 points (in each of 3 seeds: their spread is not known)"


@pytest.mark.parametrize(
    "differences",
    [{}, {0: 0.01}, {0: 0.01, 1: 0.01}, {0: 0.07, 1: 0.06, 2: 0.035}, {0: 0.001, 1: -0.002, 2: 0.0, 3: 0.1}],
)
def test_nothing_is_ever_called_better(differences: dict[int, float]) -> None:
    assert "better" not in statement(shifted(differences))
