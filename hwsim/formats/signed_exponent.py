"""The code that power-of-two and power-of-sqrt-two weights share: a sign bit and an exponent field."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.errors import check_flag, check_integer
from hwsim.formats.format import MAX_PRODUCT_BITS, CodeArray, Format


@dataclass(frozen=True)
class SignedExponent(Format):
    """A sign bit above a field f: f = 0 is zero, f in 1 .. F is the magnitude base^(f-F).

    F is `exponents`, by default all that the field can hold: 2^(b-1)-1, hence 2^b-1 levels. Fewer exponents keep the
    largest magnitudes: the range of the shift is what hardware pays for, not the width of the code. `extended` is the
    set of the papers' released code: 2^(b-1) magnitudes, 2^b+1 levels, which need one more code bit.

    Raises:
        ValueError: bits outside 2..8 (1..8 if extended), exponents outside what the field holds, or so many that a
            product with even a 1-bit activation exceeds 62 bits (the message says how many fit).
    """

    exponents: int | None = None
    extended: bool = False

    def __post_init__(self) -> None:
        check_flag("extended", self.extended, f" for {self.name}")
        check_integer("bits", self.bits, 1 if self.extended else 2, 8, f" for {self.name}")
        if self.exponents is not None:
            check_integer("exponents", self.exponents, 1, self.field_capacity, f" for {self.bits}-bit {self.name}")
        self.check_product(activation_bits=1, fraction_bits=0)

    @property
    @abstractmethod
    def half_octaves_per_step(self) -> int:
        """How many half octaves (factors of sqrt2) lie between neighbouring magnitudes."""

    @property
    def code_bits(self) -> int:
        """Bits that store one code."""
        return self.bits + self.extended

    @property
    def field_capacity(self) -> int:
        """How many magnitudes the code can name."""
        return (1 << (self.bits - 1)) - (not self.extended)

    @property
    def magnitudes(self) -> int:
        """How many magnitudes are used: F."""
        return self.field_capacity if self.exponents is None else self.exponents

    @property
    def sign_bit(self) -> int:
        """The bit pattern of the sign."""
        return 1 << (self.code_bits - 1)

    @cached_property
    def levels(self) -> NDArray[np.float64]:
        """Level of each code, shape (2**code_bits,), within [-1, 1]; the negative zero is unused."""
        codes = np.arange(2**self.code_bits)
        sign, field = self.fields(codes)
        half_octaves = (field - self.magnitudes) * self.half_octaves_per_step
        # exact powers of two; an odd half octave is sqrt(2), correctly rounded, times one
        magnitude = np.ldexp(np.where(half_octaves % 2 == 0, 1.0, np.sqrt(2.0)), half_octaves // 2)
        levels = np.where(field == 0, 0.0, sign * magnitude)
        levels[(field > self.magnitudes) | (codes == self.sign_bit)] = np.nan
        levels.flags.writeable = False
        return levels

    def fields(self, codes: ArrayLike) -> tuple[CodeArray, CodeArray]:
        """Return (sign as +1 or -1, field f) of each code."""
        pattern = self.checked(codes)
        return 1 - 2 * (pattern // self.sign_bit), pattern % self.sign_bit

    def sign_and_steps(self, codes: ArrayLike) -> tuple[CodeArray, CodeArray]:
        """Return (sign, steps f-1 above the smallest magnitude) of each code; (0, 0) for zero and for unused codes."""
        sign, field = self.fields(codes)
        used = (field > 0) & (field <= self.magnitudes)
        return np.where(used, sign, 0), np.where(used, field - 1, 0)

    def product_bits(self, activation_bits: int, fraction_bits: int) -> int:
        """Return the bits of the largest product's magnitude, in units of the smallest one's 2^-fraction_bits."""
        half_octaves = (self.magnitudes - 1) * self.half_octaves_per_step
        return activation_bits + fraction_bits + (half_octaves + 1) // 2

    def check_product(self, activation_bits: int, fraction_bits: int) -> None:
        """Raise a ValueError that says how many exponents fit, if products would exceed 62 bits."""
        needed = self.product_bits(activation_bits, fraction_bits)
        if needed > MAX_PRODUCT_BITS:
            room = 2 * (MAX_PRODUCT_BITS - activation_bits - fraction_bits)
            fitting = room // self.half_octaves_per_step + 1
            widest = (fitting + (not self.extended)).bit_length()  # whose field holds no more
            rule = f"bits must be at most {widest} for {self.name} with all its exponents, got {self.bits}: "
            raise ValueError(
                f"{rule if self.exponents is None else ''}"
                f"{self.bits}-bit {self.name} with {self.magnitudes} exponents makes products of {needed} bits with "
                f"{activation_bits}-bit activations, more than {MAX_PRODUCT_BITS}; at most exponents={fitting} fit"
            )
