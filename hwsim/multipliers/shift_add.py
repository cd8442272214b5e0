"""The shift-and-add multiplier: additive powers of two x any integer levels."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hwsim.formats import Apot, Format
from hwsim.multipliers.decoder import decoder_operations, decoder_parts
from hwsim.multipliers.multiplier import IntArray, Multiplier, Terms
from hwsim.multipliers.parts import Operations, Part, together


@dataclass(frozen=True)
class ShiftAddMultiplier(Multiplier):
    """The activation shifted once for each term of the weight, and the sum of these: exact.

    A term of two bits selects one of three shifts or zero, a term of one bit passes the activation or zero at a fixed
    place (Li et al., arXiv:1909.13144, section 2.3). The unit is the smallest power of two of the weights.
    """

    weight: Apot

    name: ClassVar[str] = "shift_add"
    weight_formats: ClassVar[tuple[type[Format], ...]] = (Apot,)

    def multiply(self, w_codes: ArrayLike, a_codes: ArrayLike) -> IntArray:
        """Return ± the sum over the terms of a << exponent, for each pair of codes."""
        sign, fields = self.weight.sign_and_fields(w_codes)
        levels = self.activation.decode_integers(a_codes)
        total = np.zeros(np.broadcast_shapes(sign.shape, levels.shape), dtype=np.int64)
        for field, exponents in zip(fields, self.weight.exponents, strict=True):
            shift = np.array((0, *exponents))[field]
            total += np.where(field == 0, 0, levels << shift)
        return np.asarray(sign * total)

    def terms(self) -> Terms:
        """Return the one term w * a."""
        return Terms(self.weight.integer_levels[None], self.activation.integer_levels[None])

    @property
    def add_bits(self) -> int:
        """Width of the additions that sum the terms."""
        return self.product_bits

    def parts(self) -> tuple[Part, ...]:
        """Return a two-stage shifter per term of two bits, the gates that pass or block a term, adders and the sign."""
        terms = len(self.weight.exponents)
        shifters = sum(len(term) > 1 for term in self.weight.exponents)
        return (
            *decoder_parts(self.activation),
            Part("shifter_stage", 2 * shifters, self.product_bits),
            Part("and_gate", terms, self.product_bits),
            Part("adder", terms - 1, self.product_bits),
            Part("negate", int(self.weight.signed), self.product_bits),
        )

    def operations(self, w_codes: ArrayLike) -> Operations:
        """Return a shift per term of two bits and the additions of the terms; a zero occupies them like any other."""
        count, exponents = int(np.size(w_codes)), self.weight.exponents
        shifts = sum(len(term) > 1 for term in exponents)
        products = {"shift": shifts * count, "add": (len(exponents) - 1) * count}
        return together(products, decoder_operations(self.activation, count))
