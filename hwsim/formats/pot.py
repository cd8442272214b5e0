"""POT: zero and signed powers of two."""

from dataclasses import dataclass
from typing import ClassVar

from hwsim.formats.signed_exponent import SignedExponent


@dataclass(frozen=True)
class PowerOfTwo(SignedExponent):
    """Zero and signed powers of two, so that a product is a shift.

    Levels 0 and ±2^(f-F), f = 1 .. F = 2^(b-1)-1 (Li et al., arXiv:1909.13144, eq. 2, with all levels in b bits).
    """

    name: ClassVar[str] = "pot"
    half_octaves_per_step: ClassVar[int] = 2
