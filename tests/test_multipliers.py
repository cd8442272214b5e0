"""Circuits against exact arithmetic: every code pair, integer squares for sqrt2, and what each circuit is made of."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from exact_values import (
    DIGITS,
    code_width,
    exact_level,
    exact_product,
    exponent_formats,
    is_used,
    product_square,
    sign_and_field,
    uniform_formats,
    uniform_integer,
    used_magnitudes,
)

from hwsim.formats import Format, PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import (
    LAYOUTS,
    MULTIPLIERS,
    ArrayMultiplier,
    LookupTableMultiplier,
    Multiplier,
    Part,
    ShiftMultiplier,
    multiplier_for,
    multiplier_from_dict,
)

POT = [f for f in exponent_formats() if isinstance(f, PowerOfTwo)]
POST = [f for f in exponent_formats() if isinstance(f, PowerOfSqrtTwo)]


def all_codes(fmt: Format) -> range:
    return range(2 ** code_width(fmt))


def integers(fmt: Uniform) -> list[int]:
    return [uniform_integer(fmt, code) for code in all_codes(fmt)]


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


def small_multipliers() -> list[Multiplier]:
    """Return circuits of every kind, width 1 to 4, with corners: one exponent, few exponents, extended, 8 bits."""
    activations = [Uniform(1), Uniform(2, signed=False), Uniform(3, narrow=True), Uniform(4)]
    weights: list[Format] = [*uniform_formats(4), *exponent_formats(most_bits=4)]
    weights += [PowerOfTwo(3, 1), PowerOfSqrtTwo(3, 1), PowerOfSqrtTwo(4, 2), PowerOfSqrtTwo(4, 4, True)]
    pairs = [(w, a) for w in weights for a in activations]
    pairs += [(PowerOfTwo(8, 50), Uniform(2)), (PowerOfSqrtTwo(8, 80), Uniform(2)), (Uniform(7), Uniform(5))]
    options = {"table": [(0, "full"), (0, "shared"), (5, "full"), (12, "shared")]}
    kinds = {Uniform: "array", PowerOfTwo: "shift", PowerOfSqrtTwo: "table"}
    return [multiplier_for(w, a, *o) for w, a in pairs for o in options.get(kinds[type(w)], [(6, "shared")])]


SMALL = small_multipliers()
every_small = pytest.mark.parametrize("multiplier", SMALL, ids=str)


@every_small
def test_unit_is_what_a_product_of_one_stands_for(multiplier: Multiplier) -> None:
    steps = 0 if isinstance(multiplier.weight, Uniform) else used_magnitudes(multiplier.weight) - 1  # type: ignore[arg-type]
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
    zero_rows = [c for c in all_codes(multiplier.weight) if not is_used(multiplier.weight, c) or c == 0]
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
    table = multiplier.table()
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
    if not isinstance(multiplier, LookupTableMultiplier) or used_magnitudes(multiplier.weight) == 1:
        assert multiplier.max_error == 0.0
    elif multiplier.layout == "full":
        assert 0 < multiplier.max_error < 0.5


@every_small
def test_operations_count_what_each_code_costs(multiplier: Multiplier) -> None:
    codes = np.resize(multiplier.weight.codes, (3, 7, 2))
    if isinstance(multiplier, ArrayMultiplier):
        assert multiplier.operations(codes) == {"multiply": 42}
    elif isinstance(multiplier, ShiftMultiplier):
        assert multiplier.operations(codes) == {"shift": 42}
    else:
        assert isinstance(multiplier, LookupTableMultiplier)
        fields = [sign_and_field(multiplier.weight, int(code))[1] for code in codes.flat]
        reads = sum(field > 0 and field % 2 == 0 for field in fields)
        shifts = 42 if multiplier.layout == "shared" else 42 - reads
        assert multiplier.operations(codes) == {"shift": shifts, "table_read": reads}


def test_operations_of_single_codes() -> None:
    full = LookupTableMultiplier(PowerOfSqrtTwo(3), Uniform(3), 6, "full")
    shared = LookupTableMultiplier(PowerOfSqrtTwo(3), Uniform(3), 6, "shared")
    for code, odd in [(0, 0), (1, 0), (2, 1), (3, 0), (5, 0), (6, 1), (7, 0)]:
        assert full.operations(code) == {"shift": 1 - odd, "table_read": odd}
        assert shared.operations([code]) == {"shift": 1, "table_read": odd}
    assert full.operations([]) == {"shift": 0, "table_read": 0}


@every_small
def test_table_size_is_that_of_the_stored_columns(multiplier: Multiplier) -> None:
    if not isinstance(multiplier, LookupTableMultiplier):
        assert multiplier.table_entries == multiplier.table_bits == 0
        return
    odd = [field for field in range(1, used_magnitudes(multiplier.weight) + 1) if field % 2 == 0]
    stored = odd if multiplier.layout == "full" else odd[:1]
    entries = [[exact_product(multiplier, field, a) for a in all_codes(multiplier.activation)] for field in stored]
    assert multiplier.columns.tolist() == entries
    assert multiplier.table_entries == len(stored) * 2**multiplier.activation.bits
    flat = [entry for column in entries for entry in column]
    signed = any(entry < 0 for entry in flat)
    low, high = min(flat, default=0), max(flat, default=0)
    width = next(n for n in range(1, 65) if (-(2 ** (n - 1)) <= low and high < 2 ** (n - 1) if signed else high < 2**n))
    assert multiplier.table_bits == multiplier.table_entries * width


def test_our_3_bit_table_stores_only_the_odd_exponents_of_the_papers_8_by_4() -> None:
    """The paper's 3-bit table is [8, 4]: 8 activation codes x 4 magnitudes of the extended set, e = 0 .. 3.

    Even exponents are shifts here and need no column: 8 x 2 entries (e = 1, 3), or 8 x 1 when the column is shared.
    """
    extended = PowerOfSqrtTwo(3, extended=True)
    assert extended.magnitudes == 4
    full = LookupTableMultiplier(extended, Uniform(3, signed=False), 0, "full")
    shared = LookupTableMultiplier(extended, Uniform(3, signed=False), 0, "shared")
    assert full.columns.tolist() == [[0, 1, 3, 4, 6, 7, 8, 10], [0, 3, 6, 8, 11, 14, 17, 20]]
    assert shared.columns.tolist() == [[0, 1, 3, 4, 6, 7, 8, 10]]
    assert (full.table_entries, full.table_bits) == (16, 16 * 5)
    assert (shared.table_entries, shared.table_bits) == (8, 8 * 4)
    assert shared.table()[4].tolist() == [0, 2, 6, 8, 12, 14, 16, 20]


def test_parts_are_the_circuits_blocks() -> None:
    unsigned = Uniform(4, signed=False)
    assert ArrayMultiplier(Uniform(3), unsigned).parts() == (Part("and_gate", 12, 1), Part("adder", 2, 4))
    assert ArrayMultiplier(Uniform(1), Uniform(2)).parts() == (Part("and_gate", 2, 1), Part("adder", 0, 2))
    # f - 1 in 0 .. 6 needs 3 stages on 4 + 6 bits; a product is +-15 * 64: 11 bits with its sign
    assert ShiftMultiplier(PowerOfTwo(4), unsigned).parts() == (Part("shifter_stage", 3, 10), Part("negate", 1, 11))
    assert ShiftMultiplier(PowerOfTwo(4, 5), unsigned).parts() == (Part("shifter_stage", 3, 8), Part("negate", 1, 9))
    assert ShiftMultiplier(PowerOfTwo(4, 1), unsigned).parts()[0] == Part("shifter_stage", 0, 4)
    # e in 0 .. 6, shared: even exponents shift by 0 .. 3, a read by 0 .. 2; full: only the even ones shift
    for layout, entries, width in [("shared", 16, 5), ("full", 48, 7)]:
        multiplier = LookupTableMultiplier(PowerOfSqrtTwo(4), unsigned, 0, layout)
        assert multiplier.parts() == (
            Part("table_entry", entries, width),
            Part("shifter_stage", 2, 8),
            Part("mux2", 1, 8),
            Part("negate", 1, 8),
        )
    # e in 0 .. 3: shared shifts by 0 or 1, full by 0 or 1
    assert LookupTableMultiplier(PowerOfSqrtTwo(4, 4), unsigned, 0, "shared").parts()[1].quantity == 2
    assert LookupTableMultiplier(PowerOfSqrtTwo(4, 4), unsigned, 0, "full").parts()[1].quantity == 1
    assert LookupTableMultiplier(PowerOfSqrtTwo(4, 1), unsigned, 0, "full").parts() == (
        Part("table_entry", 0, 0),
        Part("shifter_stage", 0, 5),
        Part("mux2", 0, 5),
        Part("negate", 1, 5),
    )


@every_small
def test_dict_round_trip_through_json(multiplier: Multiplier) -> None:
    again = multiplier_from_dict(json.loads(json.dumps(multiplier.to_dict())))
    assert again == multiplier
    assert hash(again) == hash(multiplier)
    assert type(again) is type(multiplier) is MULTIPLIERS[multiplier.name]


def test_multipliers_are_values() -> None:
    assert len(set(SMALL)) == len(SMALL)
    assert multiplier_for(PowerOfSqrtTwo(4), Uniform(4)) == LookupTableMultiplier(
        PowerOfSqrtTwo(4), Uniform(4), 6, "shared"
    )


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


def build(name: str, **options: Any) -> Multiplier:
    return MULTIPLIERS[name](**options)


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("shift", {"weight": Uniform(4)}, "the shift multiplier takes pot weights, got Uniform(bits=4"),
    ("array", {"weight": PowerOfTwo(4)}, "the array multiplier takes uniform weights, got PowerOfTwo("),
    ("table", {"weight": PowerOfTwo(4)}, "the table multiplier takes post weights, got PowerOfTwo("),
    ("array", {"weight": Uniform(4), "activation": PowerOfTwo(4)}, "the array multiplier takes uniform activations"),
    ("table", {"weight": PowerOfSqrtTwo(4), "fraction_bits": -1}, "fraction_bits must be an integer in 0..12, got -1"),
    ("table", {"weight": PowerOfSqrtTwo(4), "fraction_bits": 13}, "fraction_bits must be an integer in 0..12, got 13"),
    (
        "table",
        {"weight": PowerOfSqrtTwo(4), "fraction_bits": 2.5},
        "fraction_bits must be an integer in 0..12, got 2.5",
    ),
    ("table", {"weight": PowerOfSqrtTwo(4), "layout": "share"}, "unknown table layout 'share'; did you mean 'shared'?"),
    (
        "shift",
        {"weight": PowerOfTwo(8, 60), "activation": Uniform(8)},
        "8-bit pot with 60 exponents makes products of 67 bits with 8-bit activations, more than 62; "
        "at most exponents=55 fit",
    ),
    (
        "table",
        {"weight": PowerOfSqrtTwo(8, 104), "activation": Uniform(8), "fraction_bits": 6},
        "8-bit post with 104 exponents makes products of 66 bits with 8-bit activations, more than 62; "
        "at most exponents=97 fit",
    ),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSALS)
def test_refusals_name_the_rule_and_the_value(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        build(name, **({"activation": Uniform(4)} | options))


def test_the_stated_number_of_exponents_fits() -> None:
    assert ShiftMultiplier(PowerOfTwo(8, 55), Uniform(8, signed=False)).product_bits == 63
    table = LookupTableMultiplier(PowerOfSqrtTwo(8, 97), Uniform(8, signed=False), 6)
    assert table.product_bits == 63
    with pytest.raises(ValueError, match="at most exponents=97 fit"):
        LookupTableMultiplier(PowerOfSqrtTwo(8, 98), Uniform(8, signed=False), 6)


def test_multiplier_for_refuses_a_format_without_a_circuit() -> None:
    class Strange(Format):
        name = "strange"

        @property
        def levels(self) -> np.ndarray[Any, np.dtype[np.float64]]:
            return np.zeros(16)

    with pytest.raises(ValueError, match=r"no multiplier takes .*Strange\(bits=4\)"):
        multiplier_for(Strange(4), Uniform(4))


UNIFORM4 = Uniform(4).to_dict()
BAD_DICTS: list[tuple[dict[str, Any], str]] = [
    ({}, "unknown multiplier 'None'"),
    ({"name": "tabel", "weight": UNIFORM4, "activation": UNIFORM4}, "'tabel'; did you mean 'table'?"),
    ({"name": "array", "weight": UNIFORM4}, "a array multiplier cannot have"),
    ({"name": "array", "weight": UNIFORM4, "activation": UNIFORM4, "layout": "full"}, "array multiplier cannot have"),
    ({"name": "array", "weight": {"name": "uniform"}, "activation": UNIFORM4}, "a format needs 'bits'"),
    ({"name": "array", "weight": 3, "activation": UNIFORM4}, "array multiplier cannot have"),
]


@pytest.mark.parametrize(("values", "message"), BAD_DICTS)
def test_bad_dicts_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        multiplier_from_dict(values)
