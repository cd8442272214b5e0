"""Integer primitives against Python integers and Fractions, at the extremes of int64 too."""

import math
import re
from decimal import ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hwsim.arithmetic import (
    MAX_SHIFT,
    OVERFLOWS,
    ROUNDINGS,
    Requantizer,
    bits_for,
    fit,
    largest_magnitude,
    register_range,
    shift_right,
)

MOST, LEAST = 2**63 - 1, -(2**63)
CORNERS = sorted(
    {0, MOST, LEAST, MOST - 1, LEAST + 1, MOST // 3, LEAST // 3}
    | {sign * (2**n + d) for n in range(62) for d in (-1, 0, 1) for sign in (1, -1)}
    | {sign * 3 * 2**n for n in range(60) for sign in (1, -1)}
)


def rounded(value: Fraction, rounding: str) -> int:
    """Return the value rounded as the mode's name says, by Python's own rounding."""
    match rounding:
        case "half_up":
            return math.floor(value + Fraction(1, 2))
        case "half_even":
            return round(value)
        case "floor":
            return math.floor(value)
    return math.trunc(value)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_shift_right_at_every_shift_and_corner(rounding: str) -> None:
    for shift in range(64):
        exact = [rounded(Fraction(x, 2**shift), rounding) for x in CORNERS]
        got = shift_right(CORNERS, shift, rounding)
        assert got.dtype == np.int64
        assert got.tolist() == exact


@pytest.mark.parametrize(
    ("rounding", "mode"),
    [("half_even", ROUND_HALF_EVEN), ("floor", ROUND_FLOOR), ("toward_zero", ROUND_DOWN), ("half_up", None)],
)
def test_shift_right_small_values_as_decimal_rounds(rounding: str, mode: str | None) -> None:
    for x in range(-40, 41):
        for shift in range(5):
            quotient = Decimal(x) / 2**shift
            half_up = ROUND_HALF_UP if x >= 0 else ROUND_HALF_DOWN  # toward plus infinity
            assert int(shift_right(x, shift, rounding)) == int(quotient.quantize(Decimal(1), mode or half_up))


def test_shift_right_spelled_out() -> None:
    x = [-6, -5, -3, -2, -1, 1, 2, 3, 5, 6]
    assert shift_right(x, 2).tolist() == [-1, -1, -1, 0, 0, 0, 1, 1, 1, 2]
    assert shift_right(x, 2, "half_even").tolist() == [-2, -1, -1, 0, 0, 0, 0, 1, 1, 2]
    assert shift_right(x, 2, "floor").tolist() == [-2, -2, -1, -1, -1, 0, 0, 0, 1, 1]
    assert shift_right(x, 2, "toward_zero").tolist() == [-1, -1, 0, 0, 0, 0, 0, 0, 1, 1]
    assert list(ROUNDINGS) == ["half_up", "half_even", "floor", "toward_zero"]


def test_shift_right_broadcasts() -> None:
    x, shift = np.arange(-6, 6).reshape(2, 3, 2), np.array([[0], [1], [3]])
    got = shift_right(x, shift)
    assert got.shape == (2, 3, 2)
    for index in np.ndindex(2, 3, 2):
        assert got[index] == rounded(Fraction(int(x[index]), 2 ** int(shift[index[1], 0])), "half_up")
    assert shift_right(np.zeros((0, 3), np.int64), 3).shape == (0, 3)


def test_unknown_rounding_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"unknown rounding 'half-up'; did you mean 'half_up'\? \(known: half_up, half_e"
    ):
        shift_right(1, 1, "half-up")


def test_register_range() -> None:
    assert [register_range(bits) for bits in (1, 2, 8, 63)] == [(-1, 0), (-2, 1), (-128, 127), (-(2**62), 2**62 - 1)]


def test_bits_for_is_the_narrowest_register() -> None:
    ends = [*range(-20, 21), *(s * (2**n + d) for n in (31, 62, 63) for d in (-1, 0, 1) for s in (1, -1))]
    for low in ends:
        for high in ends:
            if low <= high:
                width = next(n for n in range(1, 70) if -(2 ** (n - 1)) <= low and high <= 2 ** (n - 1) - 1)
                assert bits_for(low, high) == width


def test_largest_magnitude() -> None:
    assert largest_magnitude(np.array([], np.int64)) == 0
    assert largest_magnitude(np.array([3, -7, 5])) == 7
    assert largest_magnitude(np.array([3, -1])) == 3
    assert largest_magnitude(np.array(LEAST)) == 2**63


@pytest.mark.parametrize("bits", range(1, 64))
def test_fit_wraps_and_saturates_as_python_integers_do(bits: int) -> None:
    modulus, low, high = 2**bits, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    edges = {low - 1, low, low + 1, high - 1, high, high + 1} | {
        n * modulus + d for n in (-3, 1, 2) for d in (-1, 0, 1)
    }
    xs = [x for x in sorted(edges | set(CORNERS)) if LEAST <= x <= MOST]
    wrapped = [x % modulus - (modulus if x % modulus > high else 0) for x in xs]
    assert fit(xs, bits, "wrap").tolist() == wrapped
    assert fit(xs, bits, "saturate").tolist() == [min(max(x, low), high) for x in xs]
    inside = [x for x in xs if low <= x <= high]
    assert fit(inside, bits, "error").tolist() == inside


@pytest.mark.parametrize("bits", range(1, 64))
def test_fit_error_says_what_would_do(bits: int) -> None:
    for wrong, inside in [(2 ** (bits - 1), 0), (-(2 ** (bits - 1)) - 1, -1)]:
        with pytest.raises(OverflowError, match=f"^{wrong} does not fit {bits} bits; {bits + 1} bits would do$"):
            fit([inside, wrong, inside], bits, "error")
    if bits < 63:
        with pytest.raises(OverflowError, match=f"^{2**bits} does not fit {bits} bits; {bits + 2} bits would do$"):
            fit([[0, 2**bits]], bits, "error")


def test_fit_takes_scalars_and_empty_arrays() -> None:
    for overflow in OVERFLOWS:
        assert int(fit(-3, 3, overflow)) == -3
        assert fit(np.zeros((2, 0), np.int64), 4, overflow).shape == (2, 0)
    assert int(fit(MOST, 63, "wrap")) == -1
    assert OVERFLOWS == ("error", "wrap", "saturate")


def test_unknown_overflow_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown overflow mode 'saturated'; did you mean 'saturate'\?"):
        fit([1], 4, "saturated")


def requantizer(multiplier: Any, shift: Any, rounding: str = "half_up") -> Requantizer:
    return Requantizer(np.array(multiplier, np.int64), np.array(shift, np.int64), rounding)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_requantizer_is_the_rounded_product(rounding: str) -> None:
    rng = np.random.default_rng(0)
    for shift in (0, 1, 7, 31, 62):
        for multiplier in (0, 1, -1, 3, -5, 2**31 - 1, -(2**31) + 1, 12345678):
            most = (2**63 - 1) // max(abs(multiplier), 1)
            xs = [0, 1, -1, most, -most, most - 1, *(int(x) for x in rng.integers(-most, most, 30))]
            exact = [rounded(Fraction(x * multiplier, 2**shift), rounding) for x in xs]
            assert requantizer(multiplier, shift, rounding).apply(xs).tolist() == exact


def test_requantizer_per_channel_acts_on_axis_1() -> None:
    multiplier, shift = [3, -7, 0, 1], [1, 0, 0, 5]
    per_channel = requantizer(multiplier, shift)
    x = np.random.default_rng(1).integers(-1000, 1000, (3, 4, 2, 5))
    got = per_channel.apply(x)
    assert got.shape == x.shape
    for n, k, y, z in np.ndindex(*x.shape):
        exact = rounded(Fraction(int(x[n, k, y, z]) * multiplier[k], 2 ** shift[k]), "half_up")
        assert got[n, k, y, z] == exact
    np.testing.assert_array_equal(per_channel.apply(x[:, :, 0, 0]), got[:, :, 0, 0])
    np.testing.assert_array_equal(per_channel.apply(x[:, :, 0]), got[:, :, 0])
    assert per_channel.apply(x[:0]).shape == (0, 4, 2, 5)
    assert per_channel.scale.tolist() == [1.5, -7.0, 0.0, 1 / 32]
    assert per_channel.largest_multiplier == 7


def test_a_scalar_requantizer_takes_any_shape() -> None:
    scalar = requantizer(-3, 1)
    assert scalar.apply(np.arange(8).reshape(2, 2, 2)).tolist() == [[[0, -1], [-3, -4]], [[-6, -7], [-9, -10]]]
    assert int(scalar.apply(5)) == -7
    assert float(scalar.scale) == -1.5


@pytest.mark.parametrize("bits", [1, 2, 8, 16, 24, 30, 31])
def test_from_scale_is_within_half_a_last_bit(bits: int) -> None:
    rng = np.random.default_rng(bits)
    scales = np.concatenate([rng.normal(size=200) * 2.0 ** rng.uniform(-30, 0, 200), [1 / 3, -0.1, 2**-20 * 1.9999999]])
    scales = scales[np.abs(scales) < 1]
    for rounding in ROUNDINGS:
        got = Requantizer.from_scale(scales, bits, rounding)
        assert got.rounding == rounding
        for scale, multiplier, shift in zip(scales.tolist(), got.multiplier.tolist(), got.shift.tolist(), strict=True):
            value = Fraction(multiplier, 2**shift)
            assert abs(value - Fraction(scale)) <= abs(Fraction(scale)) / 2**bits
            assert abs(multiplier) < 2**bits
            assert multiplier % 2 == 1 or shift == 0


@pytest.mark.parametrize("bits", [1, 8, 24, 31])
def test_from_scale_of_a_power_of_two_is_a_bare_shift(bits: int) -> None:
    for n in range(63):
        for sign in (1, -1):
            got = Requantizer.from_scale(sign * 2.0**-n, bits)
            assert (int(got.multiplier), int(got.shift)) == (sign, n)
            assert got.multiplier.shape == got.shift.shape == ()
    for n in range(31):
        large = Requantizer.from_scale(2.0**n, bits)
        assert (int(large.multiplier), int(large.shift)) == (2**n, 0)


def test_from_scale_of_a_dead_channel_is_zero() -> None:
    got = Requantizer.from_scale([0.5, 0.0, 2.0**-80, 5e-324])
    assert got.multiplier.tolist() == [1, 0, 0, 0]
    assert got.shift.tolist() == [1, 0, 0, 0]


def test_from_scale_keeps_what_the_largest_shift_leaves() -> None:
    got = Requantizer.from_scale([1.5 * 2.0**-62, 1.25 * 2.0**-60, 2.0**-63 * 1.5])
    assert got.shift.tolist() == [61, 62, 62]
    assert got.multiplier.tolist() == [1, 5, 1]
    assert MAX_SHIFT == 62


def test_from_scale_rounds_to_the_nearest_multiplier() -> None:
    assert int(Requantizer.from_scale(0.8, 3).multiplier) == 3  # 6.4 of 8 is 6: 3/4
    assert int(Requantizer.from_scale(0.83, 3).multiplier) == 7  # 6.64 of 8
    assert int(Requantizer.from_scale(0.99, 3).multiplier) == 1
    assert int(Requantizer.from_scale(100.3, 16).multiplier) == 25677  # 51353.6 of 512 is 51354, halved
    defaults = Requantizer.from_scale(1 / 3)
    assert (int(defaults.multiplier), int(defaults.shift), defaults.rounding) == (11184811, 25, "half_up")


BAD_REQUANTIZERS: list[tuple[Any, Any, str, str]] = [
    (1, 0, "nearest", "unknown rounding 'nearest' (known: half_up, half_even, floor, toward_zero)"),
    ([1, 2], [0], "half_up", "multiplier and shift must both have shape () or (K,), got (2,), (1,)"),
    ([[1]], [[0]], "half_up", "multiplier and shift must both have shape () or (K,), got (1, 1), (1, 1)"),
    (2**31, 0, "half_up", "|multiplier| must be below 2^31, got 2147483648"),
    ([0, -(2**31)], [0, 0], "half_up", "|multiplier| must be below 2^31, got 2147483648"),
    (1, -1, "half_up", "shift must be in 0..62, got -1..-1"),
    ([1, 1], [0, 63], "half_up", "shift must be in 0..62, got 0..63"),
]


@pytest.mark.parametrize(("multiplier", "shift", "rounding", "message"), BAD_REQUANTIZERS)
def test_requantizers_outside_the_ranges_are_refused(multiplier: Any, shift: Any, rounding: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        requantizer(multiplier, shift, rounding)


def test_requantizers_at_the_edge_of_the_ranges_are_taken() -> None:
    edge = requantizer([2**31 - 1, -(2**31) + 1, 0], [62, 0, 62])
    assert edge.largest_multiplier == 2**31 - 1
    assert requantizer([], []).largest_multiplier == 0


@pytest.mark.parametrize("scale", [math.nan, math.inf, -math.inf])
def test_a_scale_that_is_not_finite_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=f"a scale must be finite, got {scale}"):
        Requantizer.from_scale([1.0, scale])


def test_a_scale_too_large_is_refused() -> None:
    for scale in (2.0**31, -(2.0**31), 1e300, 2.0**31 - 0.25):
        with pytest.raises(ValueError, match=re.escape(f"a scale must be below 2^31, got {scale}")):
            Requantizer.from_scale(scale, 31)
    assert int(Requantizer.from_scale(2.0**31 - 1, 31).multiplier) == 2**31 - 1


@pytest.mark.parametrize("bits", [0, -1, 32, 2.5])
def test_multiplier_bits_out_of_range_are_refused(bits: Any) -> None:
    with pytest.raises(ValueError, match=f"multiplier bits must be an integer in 1..31, got {bits}"):
        Requantizer.from_scale(0.3, bits)


def test_products_beyond_63_bits_are_refused() -> None:
    scale = requantizer([3, -(2**31) + 1], [0, 0])
    most = (2**63 - 1) // (2**31 - 1)
    scale.check_range(most, "node 'r'")
    message = (
        f"node 'r': values up to {most + 1} times the multiplier 2147483647 exceed 63 bits; use fewer multiplier bits"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        scale.check_range(most + 1, "node 'r'")
    for x in (most + 1, -most - 1):
        with pytest.raises(
            ValueError, match=f"x: values up to {most + 1} times the multiplier 2147483647 exceed 63 bits"
        ):
            scale.apply([[0, x]])
    with pytest.raises(ValueError, match=f"x: values up to {2**63} times the multiplier 1 exceed 63 bits"):
        requantizer(1, 0).apply(LEAST)


@pytest.mark.parametrize("shift", [-1, 64, 100])
def test_shifts_beyond_the_word_are_refused(shift: int) -> None:
    with pytest.raises(ValueError, match=f"shift must be in 0..63, got {shift}"):
        shift_right(5, shift)


@pytest.mark.parametrize("bits", [0, 64])
@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_registers_have_1_to_63_bits(bits: int, overflow: str) -> None:
    with pytest.raises(ValueError, match=f"a register has 1..63 bits, got {bits}"):
        fit(5, bits, overflow)


def test_numbers_that_are_no_integers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"integers are needed, got float64 values such as 1\.7"):
        shift_right(1.7, 1)
    with pytest.raises(ValueError, match=r"integers are needed, got float64 values such as 1\.7"):
        fit(1.7, 8, "wrap")
