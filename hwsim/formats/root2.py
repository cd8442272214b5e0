"""Exact arithmetic with numbers p + q*sqrt2 (p, q rational): every POST level and mid point is one."""

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Root2:
    """The number p + q*sqrt2."""

    p: Fraction
    q: Fraction

    @classmethod
    def power(cls, half_octaves: int) -> "Root2":
        """Return sqrt2**half_octaves."""
        octaves, odd = divmod(half_octaves, 2)
        value = Fraction(2) ** octaves
        return cls(Fraction(0), value) if odd else cls(value, Fraction(0))

    def __add__(self, other: "Root2") -> "Root2":
        return Root2(self.p + other.p, self.q + other.q)

    def __rmul__(self, factor: Fraction | int) -> "Root2":
        return Root2(factor * self.p, factor * self.q)

    def __float__(self) -> float:
        return float(self.p) + float(self.q) * math.sqrt(2)

    @property
    def is_rational(self) -> bool:
        """Whether a float can equal this number."""
        return self.q == 0

    def at_most(self, x: float) -> bool:
        """Return whether p + q*sqrt2 <= x, decided without rounding: q*sqrt2 <= x - p, squared."""
        d = Fraction(x) - self.p
        if self.q >= 0:
            return d >= 0 and 2 * self.q**2 <= d**2
        return d >= 0 or 2 * self.q**2 >= d**2

    def ceil(self) -> float:
        """Return the smallest float64 that is not below this number."""
        x = float(self)
        while not self.at_most(x):
            x = math.nextafter(x, math.inf)
        while self.at_most(below := math.nextafter(x, -math.inf)):
            x = below
        return x
