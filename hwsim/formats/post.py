"""POST: zero and signed powers of the square root of two."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwsim.formats.root2 import Root2
from hwsim.formats.signed_exponent import SignedExponent


@dataclass(frozen=True)
class PowerOfSqrtTwo(SignedExponent):
    """Zero and signed powers of sqrt2, so that a product is a shift or a table read.

    Levels 0 and ±sqrt2^(f-F), f = 1 .. F = 2^(b-1)-1 (ASQ, arXiv:2504.17263, section 3.3, with all levels in b bits;
    the set of its released code is `extended`).
    """

    name: ClassVar[str] = "post"
    half_octaves_per_step: ClassVar[int] = 1

    @cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """Where encoding changes, shape (count - 1,), as in `Format.thresholds`; irrational mid points are exact."""
        exact = [self._exact_level(int(code)) for code in self.codes]
        middles = [Fraction(1, 2) * (low + high) for low, high in pairwise(exact)]
        pairs = zip(middles, self.upper_wins_ties.tolist(), strict=True)
        thresholds = np.array([_threshold(middle, up) for middle, up in pairs])
        thresholds.flags.writeable = False
        return thresholds

    def _exact_level(self, code: int) -> Root2:
        sign, field = (int(part) for part in self.fields(code))
        return (sign if field else 0) * Root2.power(field - self.magnitudes)


def _threshold(middle: Root2, tie_goes_up: bool) -> float:
    threshold = middle.ceil()
    if middle.is_rational and not tie_goes_up:
        return float(np.nextafter(threshold, np.inf))
    return threshold
