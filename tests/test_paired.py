"""Differences paired over seeds, and the quantiles of Student's distribution."""

import pytest

from reports.paired import Difference, paired_difference, student_quantile


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062047), (2, 4.3026527), (4, 2.7764451), (9, 2.2621572), (30, 2.0422725)]
)
def test_quantiles_are_those_of_the_printed_tables(freedom: int, quantile: float) -> None:
    assert student_quantile(freedom) == pytest.approx(quantile, abs=6e-8)


@pytest.mark.parametrize(("freedom", "confidence"), [(0, 0.95), (2, 1.0), (2, 0.0)])
def test_a_quantile_that_cannot_be_is_refused(freedom: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="a quantile needs freedom >= 1 and 0 < confidence < 1"):
        student_quantile(freedom, confidence)


def test_only_common_seeds_are_paired() -> None:
    """Differences 1, 2 and 3 have mean 2 and deviation 1: the interval is 2 -+ 4.3026527 / sqrt(3)."""
    found = paired_difference({0: 5.0, 1: 7.0, 2: 9.0, 7: 100.0}, {2: 6.0, 1: 5.0, 0: 4.0, 8: 0.0})
    assert found is not None
    assert (found.seeds, found.mean) == (3, 2.0)
    half = 4.3026527 / 3**0.5
    assert found.low == pytest.approx(2 - half, abs=1e-6)
    assert found.high == pytest.approx(2 + half, abs=1e-6)


def test_one_pair_has_no_interval_and_none_no_difference() -> None:
    assert paired_difference({3: 1.0}, {3: 0.5}) == Difference(1, 0.5, None, None)
    assert paired_difference({3: 1.0}, {4: 0.5}) is None


def test_alike_differences_have_no_interval_whatever_subtraction_adds() -> None:
    """0.3 - 0.2 and 0.4 - 0.3 differ in the last bit of a float."""
    assert 0.3 - 0.2 != 0.4 - 0.3
    assert paired_difference({0: 0.3, 1: 0.4}, {0: 0.2, 1: 0.3}) == Difference(2, 0.1, None, None)
