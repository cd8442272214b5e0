"""APoT: sums of powers of two, so that a product is a few shifts and additions."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.errors import check_flag, check_integer
from hwsim.formats.format import CodeArray, read_only
from hwsim.formats.integer_format import IntegerFormat


@dataclass(frozen=True)
class Apot(IntegerFormat):
    """Additive powers of two: a magnitude is a sum of terms, each zero or one of a few powers of two.

    With m magnitude bits (b - 1 and a sign, or b unsigned) there are n = m // 2 terms of two bits, each zero or one of
    three powers, and a term of one bit, zero or one power, if m is odd (Li et al., arXiv:1909.13144, eq. 5 and section
    2.3; the sets are those of the authors' code). The powers are dealt out in turn, largest first, two to each two-bit
    term, then, if m is odd, one to the one-bit term, then a third to each two-bit term. Each is used once, so all sums
    differ. Levels are integers in units of the smallest power; the paper's are these over the largest.

    A code is the sign, then the fields of the terms, then the one-bit term's. A field f names the term's f-th smallest
    power, 0 is zero; the negative zero is unused. Mid points go to the level whose place, counted from zero, is even.

    Raises:
        ValueError: bits outside 2..8 (1..8 if unsigned).
    """

    signed: bool = True

    name: ClassVar[str] = "apot"

    def __post_init__(self) -> None:
        check_flag("signed", self.signed, " for apot")
        check_integer("bits", self.bits, 2 if self.signed else 1, 8, f" for {'' if self.signed else 'unsigned '}apot")

    @property
    def magnitude_bits(self) -> int:
        """Bits of a code without the sign."""
        return self.bits - self.signed

    @cached_property
    def exponents(self) -> tuple[tuple[int, ...], ...]:
        """Exponents of the powers of two of each term, ascending; the one-bit term comes last."""
        pairs, odd = divmod(self.magnitude_bits, 2)
        rest = iter(range(3 * pairs + odd - 1, -1, -1))
        terms: list[list[int]] = [[] for _ in range(pairs)]
        for term in terms * 2:
            term.append(next(rest))
        single = [(next(rest),)] if odd else []
        for term in terms:
            term.append(next(rest))
        return (*(tuple(reversed(term)) for term in terms), *single)

    def sign_and_fields(self, codes: ArrayLike) -> tuple[CodeArray, list[CodeArray]]:
        """Return (sign as +1 or -1, field of each term) of each code."""
        rest = self.checked(codes)
        sign = 1 - 2 * (rest >> self.magnitude_bits)
        fields, place = [], self.magnitude_bits
        for term in self.exponents:
            width = len(term).bit_length()
            place -= width
            fields.append((rest >> place) & ((1 << width) - 1))
        return sign, fields

    @cached_property
    def integer_levels(self) -> CodeArray:
        """Level of each code, shape (2**bits,), in units of the smallest power of two."""
        sign, fields = self.sign_and_fields(np.arange(2**self.bits))
        powers = [np.array([0, *(1 << exponent for exponent in term)]) for term in self.exponents]
        magnitude = sum(power[field] for power, field in zip(powers, fields, strict=True))
        return read_only(np.asarray(sign * magnitude, dtype=np.int64))

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """Whether each code names a level, shape (2**bits,): all but the negative zero."""
        used = np.ones(2**self.bits, dtype=np.bool_)
        if self.signed:
            used[1 << self.magnitude_bits] = False
        return read_only(used)

    @property
    def upper_wins_ties(self) -> NDArray[np.bool_]:
        """Whether the upper of two neighbouring levels has an even place, counted from zero, shape (count - 1,)."""
        zero = int(np.searchsorted(self.integer_levels[self.codes], 0))
        return np.asarray((np.arange(1, self.count) - zero) % 2 == 0)
