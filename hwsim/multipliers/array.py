"""The array multiplier: uniform x uniform, or x uniform with a zero point."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hwsim.formats import Format, Offset, Uniform
from hwsim.multipliers.decoder import decoder_operations, decoder_parts
from hwsim.multipliers.multiplier import IntArray, Multiplier, Terms
from hwsim.multipliers.parts import Operations, Part, together


@dataclass(frozen=True)
class ArrayMultiplier(Multiplier):
    """Integer times integer: an array of AND gates, one row per weight bit, and the adders that sum the rows.

    A zero point is taken off the activation first.
    """

    weight: Uniform

    name: ClassVar[str] = "array"
    weight_formats: ClassVar[tuple[type[Format], ...]] = (Uniform,)
    activation_formats: ClassVar[tuple[type[Format], ...]] = (Uniform, Offset)

    def multiply(self, w_codes: ArrayLike, a_codes: ArrayLike) -> IntArray:
        """Return w * a for each pair of codes."""
        return self.weight.decode_integers(w_codes) * self.activation.decode_integers(a_codes)

    def terms(self) -> Terms:
        """Return the one term w * a."""
        weights = self.weight.integer_levels
        levels = self.activation.integer_levels
        return Terms(weights[None], levels[None])

    def parts(self) -> tuple[Part, ...]:
        """Return the AND array and its rows of adders (Baugh-Wooley if signed: the same count)."""
        rows, columns = self.weight.bits, self.activation.level_bits
        return *decoder_parts(self.activation), Part("and_gate", rows * columns, 1), Part("adder", rows - 1, columns)

    def operations(self, w_codes: ArrayLike) -> Operations:
        """Return one multiplication per code, and an addition where there is a zero point."""
        count = int(np.size(w_codes))
        return together({"multiply": count}, decoder_operations(self.activation, count))
