"""The shift multiplier: power-of-two x any integer levels."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hwsim.formats import Format, PowerOfTwo
from hwsim.multipliers.decoder import decoder_operations, decoder_parts
from hwsim.multipliers.multiplier import IntArray, Multiplier, Terms
from hwsim.multipliers.parts import Operations, Part, together


@dataclass(frozen=True)
class ShiftMultiplier(Multiplier):
    """The activation shifted left by the weight's exponent: `±(a << (f-1))`, exact.

    The unit is the smallest weight magnitude, 2^-(F-1): a product has F-1 fraction bits.
    """

    weight: PowerOfTwo

    name: ClassVar[str] = "shift"
    weight_formats: ClassVar[tuple[type[Format], ...]] = (PowerOfTwo,)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.weight.check_product(self.activation.level_bits, fraction_bits=0)

    @property
    def frac_bits(self) -> float:
        """Fraction bits of a product: F-1."""
        return float(self.weight.magnitudes - 1)

    def multiply(self, w_codes: ArrayLike, a_codes: ArrayLike) -> IntArray:
        """Return ±(a << (f-1)) for each pair of codes, 0 where f is 0."""
        sign, shift = self.weight.sign_and_steps(w_codes)
        return sign * (self.activation.decode_integers(a_codes) << shift)

    def terms(self) -> Terms:
        """Return the one term (±2^(f-1)) * a."""
        sign, shift = self.weight.sign_and_steps(np.arange(2**self.weight.code_bits))
        levels = self.activation.integer_levels
        return Terms((sign << shift)[None], levels[None])

    def parts(self) -> tuple[Part, ...]:
        """Return the barrel shifter (one stage of multiplexers per bit of the shift) and the sign."""
        width = self.activation.level_bits + self.weight.magnitudes - 1
        stages = (self.weight.magnitudes - 1).bit_length()
        shifter = Part("shifter_stage", stages, width)
        return *decoder_parts(self.activation), shifter, Part("negate", 1, self.product_bits)

    def operations(self, w_codes: ArrayLike) -> Operations:
        """Return one shift per code, and the activation's decoding; the zero weight occupies the shifter like any."""
        count = int(np.size(w_codes))
        return together({"shift": count}, decoder_operations(self.activation, count))
