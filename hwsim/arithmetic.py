"""The few integer primitives that every engine and circuit shares: rounding, overflow, requantization."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.errors import check_integer, unknown_name

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MAX_MULTIPLIER_BITS = 31
MAX_SHIFT = 62
MAX_WIDTH = 63


def _half_up(floor: IntArray, remainder: IntArray, half: IntArray) -> BoolArray:
    return np.asarray(remainder >= half)


def _half_even(floor: IntArray, remainder: IntArray, half: IntArray) -> BoolArray:
    return np.asarray((remainder > half) | ((remainder == half) & (floor % 2 == 1)))


def _floor(floor: IntArray, remainder: IntArray, half: IntArray) -> BoolArray:
    return np.zeros(np.shape(remainder), dtype=np.bool_)


def _toward_zero(floor: IntArray, remainder: IntArray, half: IntArray) -> BoolArray:
    return np.asarray((floor < 0) & (remainder > 0))


#: Whether to add one to the floor, from the floor, the bits shifted out, and half of the last bit that stays.
ROUNDINGS: dict[str, Callable[[IntArray, IntArray, IntArray], BoolArray]] = {
    "half_up": _half_up,
    "half_even": _half_even,
    "floor": _floor,
    "toward_zero": _toward_zero,
}

OVERFLOWS = ("error", "wrap", "saturate")


def integers(x: ArrayLike) -> IntArray:
    """Return x as int64.

    Raises:
        ValueError: x does not consist of integers.
    """
    array = np.asarray(x)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"integers are needed, got {array.dtype} values such as {array.flat[0]}")
    return array.astype(np.int64, copy=False)


def shift_right(x: ArrayLike, shift: ArrayLike, rounding: str = "half_up") -> IntArray:
    """Return x / 2**shift, rounded: exact for every int64 and every shift in 0..63; shapes broadcast.

    `half_up` is what an adder and a shifter do, (x + half) >> shift, here without that sum's overflow.

    Raises:
        ValueError: an unknown rounding mode, a shift outside 0..63, or values that are not integers.
    """
    if rounding not in ROUNDINGS:
        raise unknown_name("rounding", rounding, ROUNDINGS)
    value, amount = integers(x), integers(shift)
    if amount.size and not (amount.min() >= 0 and amount.max() <= MAX_WIDTH):
        raise ValueError(f"shift must be in 0..{MAX_WIDTH}, got {amount.min()}..{amount.max()}")
    floor = value >> amount
    remainder = value - (floor << amount)
    half = np.maximum(np.int64(1) << np.maximum(amount - 1, 0), 1)
    return np.asarray(floor + ROUNDINGS[rounding](floor, remainder, half))


def register_range(bits: int) -> tuple[int, int]:
    """Return the lowest and highest value of a two's complement register."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def bits_for(low: int, high: int) -> int:
    """Return the narrowest two's complement width that holds low .. high."""
    return 1 + max(high.bit_length() if high >= 0 else (~high).bit_length(), (~low).bit_length() if low < 0 else 0)


def register_bits(low: int, high: int) -> int:
    """Return the bits of a register for low .. high: two's complement if low is negative, otherwise unsigned."""
    return bits_for(low, high) if low < 0 else high.bit_length()


def largest_magnitude(x: IntArray) -> int:
    """Return the largest |x|, 0 if x is empty."""
    return max(-int(x.min()), int(x.max()), 0) if x.size else 0


def fit(x: ArrayLike, bits: int, overflow: str) -> IntArray:
    """Return x as a two's complement register of that width holds it, for 1..63 bits.

    Raises:
        OverflowError: overflow is "error" and a value does not fit; the message says how many bits would do.
        ValueError: an unknown overflow mode, bits outside 1..63, or values that are not integers.
    """
    if not 1 <= bits <= MAX_WIDTH:
        raise ValueError(f"a register has 1..{MAX_WIDTH} bits, got {bits}")
    value = integers(x)
    low, high = register_range(bits)
    if overflow == "saturate":
        return np.clip(value, low, high)
    if overflow == "wrap":
        return ((value - low) & ((1 << bits) - 1)) + low
    if overflow != "error":
        raise unknown_name("overflow mode", overflow, OVERFLOWS)
    if value.size and not (low <= value.min() and value.max() <= high):
        worst = int(value.min() if value.min() < low else value.max())
        raise OverflowError(f"{worst} does not fit {bits} bits; {bits_for(worst, worst)} bits would do")
    return value


@dataclass(frozen=True, eq=False)
class Requantizer:
    """Multiplication by a fixed-point scale: `(x * multiplier + half) >> shift`, per channel or for all.

    multiplier and shift: int64, shape () or (K,). |multiplier| < 2^31, 0 <= shift <= 62. The multiplier may be negative
    (a batch norm's gamma can be) or zero.

    Raises:
        ValueError: an unknown rounding mode, shapes that differ, or values outside these ranges.
    """

    multiplier: IntArray
    shift: IntArray
    rounding: str = "half_up"

    def __post_init__(self) -> None:
        if self.rounding not in ROUNDINGS:
            raise unknown_name("rounding", self.rounding, ROUNDINGS)
        if self.multiplier.shape != self.shift.shape or self.multiplier.ndim > 1:
            raise ValueError(
                f"multiplier and shift must both have shape () or (K,), got {self.multiplier.shape}, {self.shift.shape}"
            )
        if self.largest_multiplier >= 1 << MAX_MULTIPLIER_BITS:
            raise ValueError(f"|multiplier| must be below 2^{MAX_MULTIPLIER_BITS}, got {self.largest_multiplier}")
        if self.shift.size and not (self.shift.min() >= 0 and self.shift.max() <= MAX_SHIFT):
            raise ValueError(f"shift must be in 0..{MAX_SHIFT}, got {self.shift.min()}..{self.shift.max()}")

    @classmethod
    def from_scale(cls, scale: ArrayLike, bits: int = 24, rounding: str = "half_up") -> "Requantizer":
        """Return the requantizer nearest to a real scale, with multipliers of at most `bits` significant bits.

        The relative error is at most 2^-bits; where the shift ends at 62, the error is at most 2^-63.
        Trailing zeros are dropped, so a power of two becomes a bare shift.

        Raises:
            ValueError: bits outside 1..31, or a scale that is not finite or too large for a 31-bit multiplier.
        """
        check_integer("multiplier bits", bits, 1, MAX_MULTIPLIER_BITS)
        scales = np.asarray(scale, dtype=np.float64)
        pairs = np.array([_fixed_point(float(s), bits) for s in scales.flat], dtype=np.int64).reshape(-1, 2)
        return cls(pairs[:, 0].reshape(scales.shape), pairs[:, 1].reshape(scales.shape), rounding)

    @cached_property
    def largest_multiplier(self) -> int:
        """Largest |multiplier|."""
        return largest_magnitude(self.multiplier)

    @property
    def scale(self) -> NDArray[np.float64]:
        """The real scale that the integers stand for."""
        return np.ldexp(self.multiplier.astype(np.float64), -self.shift.astype(np.int32))

    def widened(self, bits: int) -> "Requantizer":
        """Return the same scale with multipliers of `bits` bits, as far as the shift allows.

        A multiplier that something divides or cuts later keeps its precision so. One that is wider stays as it is.
        """
        spare = np.minimum(bits - np.frexp(np.abs(self.multiplier).astype(np.float64))[1], MAX_SHIFT - self.shift)
        added = np.where(self.multiplier == 0, 0, np.maximum(spare, 0)).astype(np.int64)
        return Requantizer(np.asarray(self.multiplier << added), np.asarray(self.shift + added), self.rounding)

    def check_range(self, largest: int, where: str) -> None:
        """Raise a ValueError if |x| up to `largest` could leave the 64-bit product."""
        if largest * self.largest_multiplier >= 1 << 63:
            raise ValueError(
                f"{where}: values up to {largest} times the multiplier {self.largest_multiplier} exceed 63 bits; "
                "use fewer multiplier bits"
            )

    def apply(self, x: ArrayLike) -> IntArray:
        """Return the rounded product; a (K,) requantizer acts on axis 1 of x, shape (N, K, ...).

        Raises:
            ValueError: a product would leave 64 bits.
        """
        value = np.asarray(x, dtype=np.int64)
        self.check_range(largest_magnitude(value), "x")
        shape = (-1,) + (1,) * (value.ndim - 2) if self.multiplier.ndim else ()
        return shift_right(value * self.multiplier.reshape(shape), self.shift.reshape(shape), self.rounding)


def _fixed_point(scale: float, bits: int) -> tuple[int, int]:
    """Return (multiplier, shift) with multiplier * 2^-shift nearest to the scale."""
    if not math.isfinite(scale):
        raise ValueError(f"a scale must be finite, got {scale}")
    mantissa, exponent = math.frexp(scale)
    shift = min(bits - exponent, MAX_SHIFT)
    multiplier = round(math.ldexp(mantissa, shift + exponent))
    while multiplier and multiplier % 2 == 0 and shift > 0:
        multiplier, shift = multiplier // 2, shift - 1
    if shift < 0:
        multiplier, shift = multiplier << -shift, 0
    if abs(multiplier) >= 1 << MAX_MULTIPLIER_BITS:
        raise ValueError(f"a scale must be below 2^{MAX_MULTIPLIER_BITS}, got {scale}")
    return (multiplier, shift) if multiplier else (0, 0)
