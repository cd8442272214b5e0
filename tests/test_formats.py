"""Formats against exact rationals and 100-digit square roots: every code, every threshold, every refusal."""

import bisect
import json
import math
import re
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from exact_values import (
    APOT_TERMS,
    CODEBOOKS,
    DIGITS,
    Exact,
    apot_formats,
    code_width,
    codes_by_level,
    exact_level,
    exponent_formats,
    is_used,
    mid_point,
    offset_formats,
    uniform_formats,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike

from hwsim.formats import (
    FORMATS,
    Apot,
    Codebook,
    Format,
    IntegerFormat,
    Offset,
    PowerOfSqrtTwo,
    PowerOfTwo,
    Uniform,
    format_from_dict,
    make_format,
)
from hwsim.formats.root2 import Root2

NARROWED: list[Format] = [
    PowerOfTwo(4, exponents=1),
    PowerOfTwo(4, exponents=5),
    PowerOfTwo(8, exponents=9),
    PowerOfTwo(3, exponents=4, extended=True),
    PowerOfTwo(3, exponents=2, extended=True),
    PowerOfSqrtTwo(4, exponents=1),
    PowerOfSqrtTwo(4, exponents=6),
    PowerOfSqrtTwo(8, exponents=15),
    PowerOfSqrtTwo(3, exponents=4, extended=True),
    PowerOfSqrtTwo(3, exponents=1, extended=True),
]
FORMATS_UP_TO_8_BITS: list[Format] = [
    *uniform_formats(8),
    *exponent_formats(),
    *NARROWED,
    *offset_formats(8),
    *apot_formats(),
    *CODEBOOKS,
]
WIDE: list[Format] = [Uniform(16), Uniform(16, signed=False), Uniform(16, narrow=True), Uniform(11), Offset(16, 777)]
SYMMETRIC = [f for f in FORMATS_UP_TO_8_BITS if f.min_level == -f.max_level and f.zero_code is not None]

every_format = pytest.mark.parametrize("fmt", FORMATS_UP_TO_8_BITS, ids=str)


@cache
def by_level(fmt: Format) -> tuple[list[int], list[Exact]]:
    """Return the used codes by ascending exact level, and the exact mid points between them."""
    used = list(codes_by_level(fmt))
    levels = [exact_level(fmt, code) for code in used]
    return used, [mid_point(low, high) for low, high in pairwise(levels)]


def nearest_code(fmt: Format, x: float) -> int:
    """Return the code that the definition asks for: nearest level, ties as `even` says."""
    codes, middles = by_level(fmt)
    rank = bisect.bisect_left(middles, x)
    if rank < len(middles) and middles[rank] == x:
        return next(code for code in codes[rank : rank + 2] if even(fmt, code))
    return codes[rank]


def even(fmt: Format, code: int) -> bool:
    """Return whether a tie goes to this code: an even code; of Offset an even level, of APoT an even place."""
    if isinstance(fmt, Offset):
        return (code - fmt.zero_point) % 2 == 0
    if isinstance(fmt, Apot):
        codes, _ = by_level(fmt)
        return (codes.index(code) - codes.index(0)) % 2 == 0
    return code % 2 == 0


def around(middles: list[Exact], dtype: DTypeLike) -> list[float]:
    """Return the floats of a type at each mid point and the two on either side."""
    kind = np.dtype(dtype).type
    with np.errstate(over="ignore", under="ignore"):
        at = np.array([float(middle) for middle in middles]).astype(kind)
    up, down = np.array(np.inf, kind), np.array(-np.inf, kind)
    below, above = np.nextafter(at, down), np.nextafter(at, up)
    every = np.concatenate([np.nextafter(below, down), below, at, above, np.nextafter(above, up)])
    return [float(value) for value in every if math.isfinite(value)]


@every_format
def test_each_level_is_the_formula_correctly_rounded(fmt: Format) -> None:
    for code in range(2 ** code_width(fmt)):
        level = float(fmt.levels[code])
        if is_used(fmt, code):
            assert level == float(exact_level(fmt, code))
            assert not (level == 0 and math.copysign(1, level) < 0)
        else:
            assert math.isnan(level)


@every_format
def test_derived_facts(fmt: Format) -> None:
    codes, _ = by_level(fmt)
    assert fmt.code_bits == code_width(fmt)
    assert fmt.levels.shape == (2**fmt.code_bits,)
    assert fmt.codes.tolist() == codes
    assert fmt.codes.dtype == np.int64
    assert fmt.count == len(codes)
    assert fmt.min_level == float(exact_level(fmt, codes[0]))
    assert fmt.max_level == float(exact_level(fmt, codes[-1]))
    assert fmt.signed == (fmt.min_level < 0)
    zeros = [code for code in codes if exact_level(fmt, code) == 0]
    assert fmt.zero_code == (zeros[0] if zeros else None)


def test_level_counts_are_the_papers() -> None:
    for bits in range(2, 7):
        assert PowerOfTwo(bits).count == PowerOfSqrtTwo(bits).count == 2**bits - 1
        assert PowerOfTwo(bits, extended=True).count == PowerOfSqrtTwo(bits, extended=True).count == 2**bits + 1
        assert (
            Uniform(bits).count == Uniform(bits, signed=False).count == Uniform(bits, narrow=True).count + 1 == 2**bits
        )


def test_four_bit_levels_spelled_out() -> None:
    positive = [2.0**-n for n in range(6, -1, -1)]
    assert PowerOfTwo(4).levels[PowerOfTwo(4).codes].tolist() == [-x for x in positive[::-1]] + [0.0] + positive
    assert PowerOfTwo(2, extended=True).levels[:3].tolist() == [0.0, 0.5, 1.0]
    assert PowerOfSqrtTwo(3).levels[:4].tolist() == [0.0, 0.5, math.sqrt(0.5), 1.0]
    assert Uniform(3).levels.tolist() == [0, 1, 2, 3, -4, -3, -2, -1]
    assert PowerOfTwo(4, exponents=2).levels[:3].tolist() == [0.0, 0.5, 1.0]


@every_format
def test_every_code_survives_decode_then_encode(fmt: Format) -> None:
    np.testing.assert_array_equal(fmt.encode(fmt.decode(fmt.codes)), fmt.codes)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@every_format
def test_every_threshold_decides_as_exact_comparison_does(fmt: Format, dtype: DTypeLike) -> None:
    xs = around(by_level(fmt)[1], dtype)
    got = fmt.encode(np.array(xs, dtype=dtype))
    assert got.tolist() == [nearest_code(fmt, x) for x in xs]


@every_format
def test_thresholds_are_the_smallest_float64_of_the_upper_level(fmt: Format) -> None:
    codes, _ = by_level(fmt)
    assert fmt.thresholds.shape == (fmt.count - 1,)
    assert fmt.thresholds.dtype == np.float64
    for rank, threshold in enumerate(fmt.thresholds.tolist()):
        assert nearest_code(fmt, threshold) == codes[rank + 1]
        assert nearest_code(fmt, math.nextafter(threshold, -math.inf)) == codes[rank]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@every_format
def test_thresholds_as_is_the_smallest_number_of_that_type(fmt: Format, dtype: DTypeLike) -> None:
    narrow = fmt.thresholds_as(dtype)
    assert narrow.dtype == dtype
    below = np.nextafter(narrow, np.array(-np.inf, dtype))
    for exact, at, under in zip(fmt.thresholds.tolist(), narrow.tolist(), below.tolist(), strict=True):
        assert under < exact <= at


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("fmt", WIDE, ids=str)
def test_wide_uniform_formats_round_to_even_and_clip(fmt: Format, dtype: DTypeLike) -> None:
    low, high = int(fmt.min_level), int(fmt.max_level)
    halves = np.arange(2 * low - 3, 2 * high + 4, dtype=np.float64) / 2
    with np.errstate(over="ignore"):
        xs = halves.astype(dtype)
    within = np.clip(xs.astype(np.float64), low, high)
    floors = np.floor(within)
    fraction = within - floors
    expected = floors + ((fraction > 0.5) | ((fraction == 0.5) & (floors % 2 == 1)))
    np.testing.assert_array_equal(fmt.decode(fmt.encode(xs)), expected)
    np.testing.assert_array_equal(fmt.encode(fmt.decode(fmt.codes)), fmt.codes)


@given(x=st.floats(allow_nan=False, width=64), fmt=st.sampled_from(FORMATS_UP_TO_8_BITS))
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_any_float_gets_the_nearest_code(x: float, fmt: Format) -> None:
    assert int(fmt.encode(x)) == nearest_code(fmt, x)


@given(x=st.floats(-3, 3, width=32), fmt=st.sampled_from([f for f in FORMATS_UP_TO_8_BITS if f.name != "uniform"]))
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_any_float32_gets_the_code_of_its_float64(x: float, fmt: Format) -> None:
    assert int(fmt.encode(np.float32(x))) == int(fmt.encode(np.float64(x))) == nearest_code(fmt, x)


INTEGER = [fmt for fmt in FORMATS_UP_TO_8_BITS if isinstance(fmt, IntegerFormat)]


@pytest.mark.parametrize("fmt", INTEGER, ids=str)
def test_integer_levels_are_the_levels_and_zero_where_unused(fmt: IntegerFormat) -> None:
    codes = np.arange(2**fmt.code_bits)
    assert fmt.decode_integers(codes).dtype == np.int64
    assert fmt.decode_integers(codes).tolist() == [int(level) for level in np.nan_to_num(fmt.levels)]
    with pytest.raises(ValueError, match=re.escape(f"codes of {fmt} must be in")):
        fmt.decode_integers([len(codes)])


def test_apot_levels_are_those_of_the_authors_code() -> None:
    """Their sets on [0, 1], by magnitude bits; and each power of two serves one term."""
    printed = {
        2: [0, 0.25, 0.5, 1],
        3: [0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1],
        4: [
            0,
            0.0208,
            0.0417,
            0.0625,
            0.0833,
            0.125,
            0.1667,
            0.1875,
            0.25,
            0.3333,
            0.375,
            0.5,
            0.6667,
            0.6875,
            0.75,
            1,
        ],
    }
    for bits, levels in printed.items():
        fmt = Apot(bits, signed=False)
        ours = fmt.levels[fmt.codes] / fmt.max_level
        np.testing.assert_allclose(ours, levels, atol=5.1e-5)
    for bits, terms in APOT_TERMS.items():
        assert Apot(bits, signed=False).exponents == tuple(tuple(int(math.log2(p)) for p in term) for term in terms)
        assert sorted(power for term in terms for power in term) == [2**i for i in range(sum(map(len, terms)))]
    assert [Apot(bits).count for bits in range(2, 9)] == [2**bits - 1 for bits in range(2, 9)]
    assert Apot(2).levels[Apot(2).codes].tolist() == [-1, 0, 1]


def test_offset_rounds_to_the_even_level_whatever_the_zero_point() -> None:
    halves = np.arange(-15, 16) / 2
    for zero_point in range(16):
        fmt = Offset(4, zero_point)
        levels = np.clip(np.rint(halves), -zero_point, 15 - zero_point)
        np.testing.assert_array_equal(fmt.decode(fmt.encode(halves)), levels)


@pytest.mark.parametrize("fmt", SYMMETRIC, ids=str)
def test_symmetric_formats_encode_symmetrically(fmt: Format) -> None:
    xs = np.array(around(by_level(fmt)[1], np.float64))
    np.testing.assert_array_equal(fmt.decode(fmt.encode(-xs)), -fmt.decode(fmt.encode(xs)))


@every_format
def test_infinities_get_the_end_levels(fmt: Format) -> None:
    codes, _ = by_level(fmt)
    assert fmt.encode([-math.inf, math.inf]).tolist() == [codes[0], codes[-1]]
    assert fmt.encode(np.array([-np.inf, np.inf], np.float16)).tolist() == [codes[0], codes[-1]]


def test_encode_keeps_shapes_and_takes_integers() -> None:
    assert Uniform(4).encode(np.array([[1, -9, 5]])).tolist() == [[1, 8, 5]]
    assert Uniform(4).encode(3).shape == ()
    assert Uniform(4).encode(np.zeros((2, 0, 3), np.float32)).shape == (2, 0, 3)
    assert PowerOfTwo(3).encode([[0, 1], [-1, 2]]).tolist() == [[0, 3], [7, 3]]
    assert PowerOfTwo(3).encode(0.3).dtype == np.int64


@every_format
def test_nan_is_refused(fmt: Format) -> None:
    with pytest.raises(ValueError, match=f"^{fmt.name} cannot encode NaN$"):
        fmt.encode([0.0, math.nan])


@every_format
def test_unused_and_foreign_codes_are_refused(fmt: Format) -> None:
    top = 2**fmt.code_bits - 1
    for wrong in (-1, top + 1):
        with pytest.raises(ValueError, match=re.escape(f"codes of {fmt} must be in 0..{top}, got {wrong}")):
            fmt.decode([0, wrong])
    for code in (code for code in range(top + 1) if not is_used(fmt, code)):
        with pytest.raises(ValueError, match=re.escape(f"code {code} is unused in {fmt}")):
            fmt.decode(np.array([[0, code]]))


def test_decode_keeps_shapes() -> None:
    assert Uniform(2).decode(np.zeros((0, 3), np.int64)).shape == (0, 3)
    assert Uniform(2).decode(3) == -1.0
    assert Uniform(2).decode([[1, 2]]).tolist() == [[1.0, -2.0]]


@every_format
def test_cached_arrays_are_read_only(fmt: Format) -> None:
    for array in (fmt.levels, fmt.codes, fmt.thresholds):
        with pytest.raises(ValueError, match="read-only"):
            array[:1] = 0


@every_format
def test_dict_round_trip_through_json(fmt: Format) -> None:
    values = json.loads(json.dumps(fmt.to_dict()))
    assert values["name"] == fmt.name
    again = format_from_dict(values)
    assert again == fmt
    assert hash(again) == hash(fmt)
    assert type(again) is type(fmt)


def test_formats_are_values() -> None:
    assert make_format("pot", 4) == PowerOfTwo(4)
    assert make_format("uniform", 4, signed=False) == Uniform(4, signed=False)
    assert make_format("post", 4, exponents=5, extended=True) == PowerOfSqrtTwo(4, 5, True)
    assert len(set(FORMATS_UP_TO_8_BITS)) == len(FORMATS_UP_TO_8_BITS)
    assert make_format("offset", 4, zero_point=3) == Offset(4, 3)
    assert make_format("codebook", 2, integers=[0, 1, 5]) == Codebook(2, (0, 1, 5))
    assert sorted(FORMATS) == ["apot", "codebook", "offset", "post", "pot", "uniform"]
    assert all(cls.name == name for name, cls in FORMATS.items())


def test_ceil_of_p_plus_q_sqrt2_is_the_smallest_float_not_below() -> None:
    rng = np.random.default_rng(0)
    for p, q in rng.integers(-(2**40), 2**40, (300, 2)).tolist():
        exact = DIGITS.add(Decimal(p), DIGITS.multiply(Decimal(q), DIGITS.sqrt(Decimal(2))))
        number = Root2(Fraction(p, 2**7), Fraction(q, 2**7))
        ceil = number.ceil()
        assert Decimal(math.nextafter(ceil, -math.inf)) * 2**7 < exact <= Decimal(ceil) * 2**7
        assert number.at_most(ceil)
        assert not number.at_most(math.nextafter(ceil, -math.inf))
        assert number.is_rational == (q == 0)
    assert Root2(Fraction(1, 3), Fraction(0)).ceil() >= Fraction(1, 3) > math.nextafter(1 / 3, 0)
    assert Root2.power(-3) == Root2(Fraction(0), Fraction(1, 4))
    assert Root2.power(4) == Root2(Fraction(4), Fraction(0))
