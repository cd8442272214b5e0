"""The codebook multiplier: any integer levels x any integer levels, decoded before an array multiplier."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hwsim.formats import Format, IntegerFormat
from hwsim.multipliers.decoder import decoder_operations, decoder_parts, decoder_rom
from hwsim.multipliers.multiplier import IntArray, Multiplier, Terms
from hwsim.multipliers.parts import Operations, Part, Rom, together


@dataclass(frozen=True)
class CodebookMultiplier(Multiplier):
    """Codes become levels, by a small memory where they are a codebook's, and an array multiplies the levels.

    Both decoders are counted with each product, as if no level were kept for the next one.
    """

    weight: IntegerFormat

    name: ClassVar[str] = "codebook"
    weight_formats: ClassVar[tuple[type[Format], ...]] = (IntegerFormat,)

    def multiply(self, w_codes: ArrayLike, a_codes: ArrayLike) -> IntArray:
        """Return w * a for each pair of codes."""
        return np.asarray(self.weight.decode_integers(w_codes) * self.activation.decode_integers(a_codes))

    def terms(self) -> Terms:
        """Return the one term w * a."""
        return Terms(self.weight.integer_levels[None], self.activation.integer_levels[None])

    @property
    def roms(self) -> tuple[Rom, ...]:
        """The memories of the levels."""
        return decoder_rom(self.weight) + decoder_rom(self.activation)

    @property
    def operand_bits(self) -> tuple[int, int]:
        """Widths of the levels: activation, weight."""
        return self.activation.level_bits, self.weight.level_bits

    @property
    def add_bits(self) -> int:
        """Width of the wider zero point's subtraction."""
        return max(self.operand_bits)

    def parts(self) -> tuple[Part, ...]:
        """Return the decoders, the AND array and its rows of adders."""
        columns, rows = self.operand_bits
        decoders = (*decoder_parts(self.weight), *decoder_parts(self.activation))
        return *decoders, Part("and_gate", rows * columns, 1), Part("adder", max(rows - 1, 0), columns)

    def operations(self, w_codes: ArrayLike) -> Operations:
        """Return one multiplication per code, and its operands' decoding."""
        count = int(np.size(w_codes))
        decoded = (decoder_operations(fmt, count) for fmt in (self.weight, self.activation))
        return together({"multiply": count}, *decoded)
