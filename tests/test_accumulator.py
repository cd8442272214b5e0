"""Accumulators: the range of partial sums is reached, and the required width is tight."""

import itertools
import re
from typing import Any

import numpy as np
import pytest
from exact_values import exact_product

from hwsim.accumulator import Accumulator, partial_sum_range, required_bits
from hwsim.arithmetic import OVERFLOWS
from hwsim.formats import PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import Multiplier, multiplier_for
from hwsim.nodes import Conv, Linear

CIRCUITS: list[Multiplier] = [
    multiplier_for(Uniform(3), Uniform(2)),
    multiplier_for(Uniform(3, narrow=True), Uniform(2, signed=False)),
    multiplier_for(Uniform(2, signed=False), Uniform(2, signed=False)),
    multiplier_for(Uniform(2, signed=False), Uniform(2, narrow=True)),
    multiplier_for(Uniform(1), Uniform(1)),
    multiplier_for(PowerOfTwo(3), Uniform(2)),
    multiplier_for(PowerOfTwo(3), Uniform(2, signed=False)),
    multiplier_for(PowerOfSqrtTwo(3), Uniform(2, signed=False), 2, "full"),
    multiplier_for(PowerOfSqrtTwo(3), Uniform(2), 3, "shared"),
]
every_circuit = pytest.mark.parametrize("multiplier", CIRCUITS, ids=str)


def weights_of(multiplier: Multiplier, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.random.default_rng(seed).choice(multiplier.weight.codes, (3, 3))


def reachable(multiplier: Multiplier, weights: list[int]) -> tuple[int, int]:
    """Return the lowest and highest partial sum over all activations, all orders and all prefixes."""
    lowest = highest = 0
    for activations in itertools.product(multiplier.activation.codes.tolist(), repeat=len(weights)):
        products = [exact_product(multiplier, w, a) for w, a in zip(weights, activations, strict=True)]
        for order in itertools.permutations(products):
            sums = list(itertools.accumulate(order))
            lowest, highest = min(lowest, *sums), max(highest, *sums)
    return lowest, highest


@every_circuit
@pytest.mark.parametrize("seed", range(3))
def test_partial_sum_range_is_reached(multiplier: Multiplier, seed: int) -> None:
    weight = weights_of(multiplier, seed)
    low, high = partial_sum_range(multiplier, weight)
    exact = [reachable(multiplier, channel) for channel in weight.tolist()]
    assert list(zip(low.tolist(), high.tolist(), strict=True)) == exact
    shaped = partial_sum_range(multiplier, weight.reshape(3, 1, 3, 1))
    np.testing.assert_array_equal(shaped, [low, high])


@every_circuit
def test_required_bits_hold_every_sum_and_one_less_does_not(multiplier: Multiplier) -> None:
    for seed in range(20):
        weight = weights_of(multiplier, seed)
        low, high = (ends.tolist() for ends in partial_sum_range(multiplier, weight))
        bits = required_bits(multiplier, weight)
        assert -(2 ** (bits - 1)) <= min(low)
        assert max(high) < 2 ** (bits - 1)
        assert bits == 2 or min(low) < -(2 ** (bits - 2)) or max(high) >= 2 ** (bits - 2)


def test_required_bits_spelled_out() -> None:
    signed, unsigned = multiplier_for(Uniform(8), Uniform(8)), multiplier_for(Uniform(8), Uniform(8, signed=False))
    lowest = np.array([[0x80]])
    assert required_bits(signed, lowest) == 16  # -128 x -128 = 2^14
    assert required_bits(signed, np.repeat(lowest, 2, axis=1)) == 17
    assert required_bits(unsigned, lowest) == 16  # -128 x 255 = -32640
    assert required_bits(unsigned, np.array([[0x7F, 1]])) == 16  # 128 x 255
    assert required_bits(unsigned, np.array([[0x7F, 2]])) == 17  # 129 x 255 = 32895
    assert required_bits(unsigned, np.zeros((2, 3), np.int64)) == 2
    # the widest channel counts
    assert required_bits(unsigned, np.array([[0, 0], [0x7F, 2], [1, 1]])) == 17
    # a register of n bits holds exactly -2^(n-1)
    one_bit = multiplier_for(Uniform(8), Uniform(1, signed=False))
    assert required_bits(one_bit, np.array([[0x80]])) == 8
    assert required_bits(one_bit, np.array([[0x80, 0xFF]])) == 9
    assert required_bits(one_bit, np.array([[0x7F]])) == 8
    assert required_bits(one_bit, np.array([[0x7F, 1]])) == 9


def test_sums_beyond_63_bits_are_refused() -> None:
    wide = multiplier_for(PowerOfTwo(8, exponents=61), Uniform(1, signed=False))
    one, two = np.array([[61]]), np.array([[61, 61]])
    assert required_bits(wide, one) == 62
    assert [int(end[0]) for end in partial_sum_range(wide, np.array([[61, 128 + 61, 0]]))] == [-(2**60), 2**60]
    assert required_bits(wide, np.array([[61, 61, 61]])) == 63
    with pytest.raises(ValueError, match="sums of 4 products of 62 bits could exceed 63 bits"):
        partial_sum_range(wide, np.repeat(two, 2, axis=1))
    with pytest.raises(ValueError, match="sums of 4 products of 62 bits could exceed 63 bits"):
        required_bits(wide, np.repeat(two, 2, axis=1))


def test_accumulators_take_2_to_63_bits() -> None:
    assert [Accumulator(bits).bits for bits in (2, 63)] == [2, 63]
    assert (Accumulator().bits, Accumulator().overflow) == (32, "error")
    for overflow in OVERFLOWS:
        assert Accumulator(8, overflow).overflow == overflow


@pytest.mark.parametrize("bits", [1, 0, -8, 64, 8.0, True, "8", None])
def test_other_widths_are_refused(bits: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"accumulator bits must be an integer in 2..63, got {bits!r}")):
        Accumulator(bits)


def test_unknown_overflow_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown overflow mode 'warp'; did you mean 'wrap'\?"):
        Accumulator(8, "warp")


@every_circuit
def test_error_mode_says_how_many_bits_would_do(multiplier: Multiplier) -> None:
    for seed in range(5):
        weight = weights_of(multiplier, seed)
        need = required_bits(multiplier, weight)

        def layer(bits: int, overflow: str) -> Linear:
            accumulator = Accumulator(bits, overflow)
            return Linear("fc", ("q",), weight=weight, multiplier=multiplier, accumulator=accumulator)  # noqa: B023

        layer(need, "error").check_accumulator()
        assert layer(need, "error").required_bits == need
        if need > 2:
            for overflow in ("wrap", "saturate"):
                layer(need - 1, overflow).check_accumulator()
            with pytest.raises(ValueError, match=rf"of {need - 1} bits with overflow='error'; {need} bits would do$"):
                layer(need - 1, "error").check_accumulator()


@pytest.mark.parametrize(
    ("weight", "channel", "worst"),
    [
        ([[1], [0x7F], [3]], 1, 127 * 255),
        ([[1], [2], [0x80]], 2, 128 * 255),
        ([[0xFF], [0x7E], [0xFE]], 1, 126 * 255),
    ],
)
def test_error_mode_names_the_worst_channel(weight: list[list[int]], channel: int, worst: int) -> None:
    multiplier = multiplier_for(Uniform(8), Uniform(8, signed=False))
    conv = Conv(
        "conv7",
        ("q",),
        weight=np.array(weight).reshape(3, 1, 1, 1),
        multiplier=multiplier,
        accumulator=Accumulator(15),
    )
    message = (
        f"channel {channel}: sums can reach a magnitude of {worst}, too wide for an accumulator of "
        "15 bits with overflow='error'; 16 bits would do"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        conv.check_accumulator()


def test_largest_sum_is_what_the_register_can_hold() -> None:
    multiplier = multiplier_for(Uniform(8), Uniform(8, signed=False))

    def largest(weight: list[list[int]], bits: int) -> int:
        accumulator = Accumulator(bits, "wrap")
        return Linear("fc", ("q",), weight=np.array(weight), multiplier=multiplier, accumulator=accumulator).largest_sum

    assert largest([[3, 0xFF], [0x80, 2]], 32) == 128 * 255
    assert largest([[3, 4], [0x7F, 2]], 32) == 129 * 255
    assert largest([[3, 4], [0x7F, 2]], 16) == 2**15
    assert largest([[3, 4], [0x7F, 2]], 8) == 2**7
    assert largest([[0]], 8) == 0
