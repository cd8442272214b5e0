"""Circuits against exact arithmetic: every code pair, integer squares for sqrt2, and what each circuit is made of."""

import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from circuits import all_codes, every_small
from exact_values import (
    DIGITS,
    exact_level,
    exact_product,
    exponent_formats,
    integer_level,
    is_used,
    product_square,
    sign_and_field,
    uniform_formats,
    used_magnitudes,
)

from hwsim.formats import IntegerFormat, PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import (
    LAYOUTS,
    ArrayMultiplier,
    LookupTableMultiplier,
    Multiplier,
    ShiftMultiplier,
    multiplier_for,
)

POT = [f for f in exponent_formats() if isinstance(f, PowerOfTwo)]
POST = [f for f in exponent_formats() if isinstance(f, PowerOfSqrtTwo)]


def integers(fmt: IntegerFormat) -> list[int]:
    return [integer_level(fmt, code) for code in all_codes(fmt)]


def objects(values: list[int]) -> np.ndarray[Any, np.dtype[np.object_]]:
    return np.array(values, dtype=object)


def octaves(fmt: PowerOfTwo | PowerOfSqrtTwo) -> int:
    """Return by how many bits the largest magnitude exceeds the smallest, rounded up."""
    steps = used_magnitudes(fmt) - 1
    return steps if isinstance(fmt, PowerOfTwo) else (steps + 1) // 2


def fits(weight: PowerOfTwo | PowerOfSqrtTwo, activation: Uniform, fraction_bits: int = 0) -> bool:
    return activation.bits + fraction_bits + octaves(weight) <= 62


def tables(weight_bits: range, activation_bits: int, fraction_bits: range) -> Iterator[LookupTableMultiplier]:
    """Yield every table multiplier of these widths whose products fit."""
    for weight in POST:
        for activation in uniform_formats(activation_bits):
            for k in fraction_bits:
                for layout in LAYOUTS:
                    if weight.bits in weight_bits and fits(weight, activation, k):
                        yield LookupTableMultiplier(weight, activation, k, layout)


@pytest.mark.parametrize("weight", list(uniform_formats(8)), ids=str)
def test_array_every_pair_up_to_8_by_8_bits(weight: Uniform) -> None:
    for activation in uniform_formats(8):
        exact = np.multiply.outer(objects(integers(weight)), objects(integers(activation)))
        np.testing.assert_array_equal(ArrayMultiplier(weight, activation).table(), exact.astype(np.int64))


@pytest.mark.parametrize("weight", POT, ids=str)
def test_shift_every_pair_up_to_8_by_8_bits(weight: PowerOfTwo) -> None:
    for activation in uniform_formats(8):
        if fits(weight, activation):
            multiplier = ShiftMultiplier(weight, activation)
            levels = [exact_level(weight, code) if is_used(weight, code) else 0 for code in all_codes(weight)]
            weights = [Fraction(level) / Fraction(multiplier.unit) for level in levels]
            assert all(value.denominator == 1 for value in weights)
            exact = np.multiply.outer(objects([int(value) for value in weights]), objects(integers(activation)))
            np.testing.assert_array_equal(multiplier.table(), exact.astype(np.int64))


def check_table(multiplier: LookupTableMultiplier) -> None:
    """Assert every entry: the integer nearest to the exact one, or in the shared layout the shifted first column."""
    weight = multiplier.weight
    levels = objects(integers(multiplier.activation))
    table = multiplier.table().astype(object)
    shared: list[int] = []
    for code in all_codes(weight):
        sign, field = sign_and_field(weight, code)
        squares = levels**2 * (0 if sign == 0 else 2 ** (field - 1 + 2 * multiplier.fraction_bits))
        magnitude = table[code] * np.where(levels < 0, -1, 1) * (sign or 1)
        assert (magnitude >= 0).all()
        if field % 2 or sign == 0:  # even exponent f - 1: exact
            assert (magnitude**2 == squares).all()
        elif multiplier.layout == "full" or field == 2:
            assert (4 * squares <= (2 * magnitude + 1) ** 2).all()
            assert (magnitude[squares == 0] == 0).all()
            assert ((2 * magnitude - 1) ** 2 <= 4 * squares)[squares > 0].all()
            shared = [int(entry) for entry in magnitude]
        else:
            assert magnitude.tolist() == [entry << (field - 2) // 2 for entry in shared]


def test_table_every_pair_of_small_widths_at_every_fraction() -> None:
    for multiplier in tables(range(1, 5), 4, range(13)):
        check_table(multiplier)


@pytest.mark.parametrize("weight", [f for f in POST if f.bits >= 5], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_table_large_widths(weight: PowerOfSqrtTwo, layout: str) -> None:
    for activation, k in [(Uniform(5), 12), (Uniform(6, signed=False), 3)]:
        if fits(weight, activation, k):
            check_table(LookupTableMultiplier(weight, activation, k, layout))


@pytest.mark.slow
@pytest.mark.parametrize("k", [0, 6, 12])
def test_table_every_pair_up_to_8_by_8_bits(k: int) -> None:
    for multiplier in tables(range(1, 9), 8, range(k, k + 1)):
        check_table(multiplier)


def test_table_at_8_by_8_bits() -> None:
    for layout in LAYOUTS:
        check_table(LookupTableMultiplier(PowerOfSqrtTwo(8, exponents=16), Uniform(8, signed=False), 6, layout))
        check_table(LookupTableMultiplier(PowerOfSqrtTwo(8, exponents=105), Uniform(8), 2, layout))


@every_small
def test_unit_is_what_a_product_of_one_stands_for(multiplier: Multiplier) -> None:
    steps = 0 if isinstance(multiplier.weight, IntegerFormat) else used_magnitudes(multiplier.weight) - 1  # type: ignore[arg-type]
    k = multiplier.fraction_bits if isinstance(multiplier, LookupTableMultiplier) else 0
    exact = Fraction(steps, 2 if isinstance(multiplier.weight, PowerOfSqrtTwo) else 1) + k
    assert Fraction(multiplier.frac_bits) == exact
    square = Fraction(1, 2 ** int(2 * exact))
    assert multiplier.unit == float(DIGITS.sqrt(Decimal(square.numerator) / Decimal(square.denominator)))


@every_small
def test_products_times_unit_are_levels_times_levels(multiplier: Multiplier) -> None:
    weight, table = multiplier.weight, multiplier.table()
    codes = [code for code in all_codes(weight) if is_used(weight, code)]
    exact = np.multiply.outer(weight.levels[codes], np.array(integers(multiplier.activation), dtype=np.float64))
    error = np.abs(table[codes] - exact / multiplier.unit)
    # three correctly rounded factors
    assert (error <= multiplier.max_error + 4 * 2.0**-53 * np.abs(exact) / multiplier.unit).all()


@every_small
def test_unused_codes_and_zero_multiply_as_zero(multiplier: Multiplier) -> None:
    table = multiplier.table()
    weight = multiplier.weight
    zero_rows = [c for c in all_codes(weight) if not is_used(weight, c) or exact_level(weight, c) == 0]
    assert not table[zero_rows].any()
    zero_columns = [c for c, level in enumerate(integers(multiplier.activation)) if level == 0]
    assert not table[:, zero_columns].any()


@every_small
def test_table_is_every_product(multiplier: Multiplier) -> None:
    table = multiplier.table()
    weights, activations = all_codes(multiplier.weight), all_codes(multiplier.activation)
    assert table.shape == (len(weights), len(activations))
    assert table.dtype == np.int64
    assert table.tolist() == [[exact_product(multiplier, w, a) for a in activations] for w in weights]


@every_small
def test_terms_reproduce_the_table(multiplier: Multiplier) -> None:
    terms = multiplier.terms()
    assert terms.weight.dtype == terms.activation.dtype == np.int64
    assert terms.weight.shape == (len(terms.activation), len(all_codes(multiplier.weight)))
    assert terms.activation.shape[1] == len(all_codes(multiplier.activation))
    total = sum(np.multiply.outer(w, a) for w, a in zip(terms.weight, terms.activation, strict=True))
    np.testing.assert_array_equal(total, multiplier.table())


@every_small
def test_product_range_and_bits_are_tight(multiplier: Multiplier) -> None:
    table = multiplier.table()[:, multiplier.activation.codes]
    low, high = multiplier.product_range
    assert low.tolist() == [min(row) for row in table.tolist()]
    assert high.tolist() == [max(row) for row in table.tolist()]
    lowest, highest = int(table.min()), int(table.max())
    if lowest < 0:
        widths = (n for n in range(1, 65) if -(2 ** (n - 1)) <= lowest and highest < 2 ** (n - 1))
    else:
        widths = (n for n in range(65) if highest < 2**n)
    assert multiplier.product_bits == next(widths)


@every_small
def test_max_error_is_the_largest_distance(multiplier: Multiplier) -> None:
    pairs = ((w, a) for w in all_codes(multiplier.weight) for a in all_codes(multiplier.activation))
    table = np.abs(multiplier.table()).astype(object)
    roots = ((table[w, a], DIGITS.sqrt(Decimal(product_square(multiplier, w, a)))) for w, a in pairs)
    exact = max(abs(DIGITS.subtract(Decimal(product), root)) for product, root in roots)
    # stated to 64 fraction bits, then rounded to a float64
    assert abs(Decimal(multiplier.max_error) - exact) <= Decimal(2) ** -64 + exact * Decimal(2) ** -52
    rounds = isinstance(multiplier, LookupTableMultiplier) and used_magnitudes(multiplier.weight) > 1
    if not rounds or not any(integers(multiplier.activation)):
        assert multiplier.max_error == 0.0
    elif getattr(multiplier, "layout", "") == "full":
        assert 0 < multiplier.max_error < 0.5


def test_multiply_broadcasts_and_checks_codes() -> None:
    for weight in (Uniform(3), PowerOfTwo(3), PowerOfSqrtTwo(3)):
        multiplier = multiplier_for(weight, Uniform(4, signed=False))
        table = multiplier.table()
        w, a = np.array([[1], [3]]), np.array([[0, 7, 15]])
        np.testing.assert_array_equal(multiplier.multiply(w, a), table[w, a])
        assert int(multiplier.multiply(2, 9)) == int(table[2, 9])
        for wrong in (-1, 8):
            with pytest.raises(ValueError, match=re.escape(f"codes of {weight} must be in 0..7, got {wrong}")):
                multiplier.multiply([wrong], [0])
        for wrong in (-1, 16):
            with pytest.raises(ValueError, match=f"must be in 0..15, got {wrong}"):
                multiplier.multiply([2], [wrong])


def test_wide_products_are_exact_without_a_table() -> None:
    wide = ArrayMultiplier(Uniform(16), Uniform(16))
    assert int(wide.multiply(0x8000, 0x8000)) == 2**30
    assert int(wide.multiply(0x8000, 0x7FFF)) == -(2**15) * (2**15 - 1)
    assert wide.product_bits == 32
    with pytest.raises(ValueError, match="a 65536 x 65536 product table exceeds 1048576 entries"):
        wide.table()
    with pytest.raises(ValueError, match="a 2048 x 1024 product table exceeds 1048576 entries"):
        ArrayMultiplier(Uniform(11), Uniform(10)).table()
    assert ArrayMultiplier(Uniform(10), Uniform(10)).table().shape == (1024, 1024)
    shift = ShiftMultiplier(PowerOfTwo(8, exponents=47), Uniform(16, signed=False))
    assert int(shift.multiply(47, 65535)) == 65535 << 46
    assert int(shift.multiply(128 + 47, 65535)) == -65535 << 46
    assert shift.product_bits == 63
    table = LookupTableMultiplier(PowerOfSqrtTwo(8, exponents=77), Uniform(12, signed=False), 12, "full")
    assert int(table.multiply(77, 4095)) == 4095 << 50
    assert int(table.multiply(128 + 76, 4001)) == exact_product(table, 128 + 76, 4001)
