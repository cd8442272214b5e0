"""The array multiplier: uniform x uniform."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hwsim.formats import Format, Uniform
from hwsim.multipliers.multiplier import IntArray, Multiplier, Part, Terms


@dataclass(frozen=True)
class ArrayMultiplier(Multiplier):
    """Integer times integer: an array of AND gates, one row per weight bit, and the adders that sum the rows."""

    weight: Uniform

    name: ClassVar[str] = "array"
    weight_format: ClassVar[type[Format]] = Uniform

    def multiply(self, w_codes: ArrayLike, a_codes: ArrayLike) -> IntArray:
        """Return w * a for each pair of codes."""
        return self.weight.decode_integers(w_codes) * self.activation.decode_integers(a_codes)

    def terms(self) -> Terms:
        """Return the one term w * a."""
        weights = self.weight.decode_integers(np.arange(2**self.weight.bits))
        levels = self.activation.decode_integers(np.arange(2**self.activation.bits))
        return Terms(weights[None], levels[None])

    def parts(self) -> tuple[Part, ...]:
        """Return the AND array and its rows of adders (Baugh-Wooley if signed: the same count)."""
        rows, columns = self.weight.bits, self.activation.bits
        return Part("and_gate", rows * columns, 1), Part("adder", rows - 1, columns)

    def operations(self, w_codes: ArrayLike) -> dict[str, int]:
        """Return one multiplication per code."""
        return {"multiply": int(np.size(w_codes))}
