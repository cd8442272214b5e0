"""The look-up table multiplier: power-of-sqrt-two x any integer levels."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hwsim.arithmetic import register_bits
from hwsim.errors import check_integer, unknown_name
from hwsim.formats import Format, PowerOfSqrtTwo
from hwsim.multipliers.decoder import decoder_operations, decoder_parts, decoder_rom
from hwsim.multipliers.multiplier import IntArray, Multiplier, Terms
from hwsim.multipliers.parts import Operations, Part, Rom, together

LAYOUTS = ("shared", "full")
MAX_FRACTION_BITS = 12


@dataclass(frozen=True)
class LookupTableMultiplier(Multiplier):
    """A shift for even exponents, a table read for odd ones (ASQ, arXiv:2504.17263, section 3.3.1, eq. 18).

    With e = f-1 half octaves above the smallest magnitude, in units of sqrt2^-(F-1) * 2^-k, k = `fraction_bits`:
    e even: `a << (e/2 + k)`; e odd: the integer nearest to `a * sqrt2^e * 2^k`. Layout `full` holds one column of the
    table per odd exponent (the paper's [2^ba, odd exponents]); `shared` holds one column, `round(a * sqrt2 * 2^k)`, and
    shifts what it reads by (e-1)/2, so its rounding error is shifted too. The paper does not state k.

    Raises:
        ValueError: fraction_bits outside 0..12, an unknown layout, or products wider than 62 bits.
    """

    weight: PowerOfSqrtTwo
    fraction_bits: int = 6
    layout: str = "shared"

    name: ClassVar[str] = "table"
    weight_formats: ClassVar[tuple[type[Format], ...]] = (PowerOfSqrtTwo,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("fraction_bits", self.fraction_bits, 0, MAX_FRACTION_BITS)
        if self.layout not in LAYOUTS:
            raise unknown_name("table layout", self.layout, LAYOUTS)
        self.weight.check_product(self.activation.level_bits, self.fraction_bits)

    @property
    def frac_bits(self) -> float:
        """Fraction bits of a product: (F-1)/2 + k, a half-integer if F is even."""
        return (self.weight.magnitudes - 1) / 2 + self.fraction_bits

    @cached_property
    def columns(self) -> IntArray:
        """The stored table, shape (columns, 2**activation bits): column i serves the odd exponent e = 2i + 1.

        The `shared` layout stores the first column only. Where no odd exponent is used there is no column.
        """
        odd_exponents = self.weight.magnitudes // 2
        stored = min(odd_exponents, 1) if self.layout == "shared" else odd_exponents
        levels = self.activation.integer_levels
        rows = [[self._entry(int(level), 2 * i + 1) for level in levels] for i in range(stored)]
        return np.array(rows, dtype=np.int64).reshape(stored, len(levels))

    def _entry(self, level: int, exponent: int) -> int:
        magnitude = nearest_sqrt(self._square(level, exponent))
        return magnitude if level >= 0 else -magnitude

    def _square(self, level: int, exponent: int) -> int:
        """Return (level * sqrt2^exponent * 2^k)^2, an integer."""
        return level**2 << (exponent + 2 * self.fraction_bits)

    def multiply(self, w_codes: ArrayLike, a_codes: ArrayLike) -> IntArray:
        """Return the shifted activation (e even) or the table's entry (e odd) with the weight's sign."""
        sign, exponent = self.weight.sign_and_steps(w_codes)
        shifted = self.activation.decode_integers(a_codes) << (exponent // 2 + self.fraction_bits)
        if not len(self.columns):
            return sign * shifted
        return sign * np.where(exponent % 2 == 1, self._read(exponent // 2, a_codes), shifted)

    def _read(self, column: IntArray, a_codes: ArrayLike) -> IntArray:
        codes = self.activation.checked(a_codes)
        if self.layout == "shared":
            return np.asarray(self.columns[0, codes] << column)
        return np.asarray(self.columns[np.minimum(column, len(self.columns) - 1), codes])

    def terms(self) -> Terms:
        """Return a term for the even exponents and one per stored column for the odd ones."""
        sign, exponent = self.weight.sign_and_steps(np.arange(2**self.weight.code_bits))
        odd, octaves = exponent % 2 == 1, exponent // 2
        even_weights = np.where(odd, 0, sign << octaves)
        levels = self.activation.integer_levels << self.fraction_bits
        if self.layout == "shared":
            odd_weights = [np.where(odd, sign << octaves, 0)] * len(self.columns)
        else:
            odd_weights = [np.where(odd & (octaves == i), sign, 0) for i in range(len(self.columns))]
        return Terms(np.stack([even_weights, *odd_weights]), np.concatenate([levels[None], self.columns]))

    @property
    def max_error(self) -> float:
        """Largest |product - exact| over all code pairs, in units of the product's last bit; to 64 fraction bits."""
        levels = {abs(int(level)) for level in self.activation.levels[self.activation.codes]}
        exponents = range(1, self.weight.magnitudes, 2)
        return max((self._error(level, e) for level in levels for e in exponents), default=0.0)

    def _error(self, level: int, exponent: int) -> float:
        shared = self.layout == "shared"
        product = self._entry(level, 1) << (exponent // 2) if shared else self._entry(level, exponent)
        return abs((product << 64) - math.isqrt(self._square(level, exponent) << 128)) / 2.0**64

    @property
    def product_rom(self) -> Rom:
        """The table: activation codes x stored columns, each as wide as the widest product (with a sign, if any)."""
        if not self.columns.size:
            return Rom(0, 0)
        return Rom(self.columns.size, register_bits(int(self.columns.min()), int(self.columns.max())))

    @property
    def roms(self) -> tuple[Rom, ...]:
        """The table, if a column is stored, and what decodes the activation for the shifts."""
        stored = (self.product_rom,) if self.product_rom.entries else ()
        return stored + decoder_rom(self.activation)

    def parts(self) -> tuple[Part, ...]:
        """Return the table, the barrel shifter, the multiplexer between them, and the sign."""
        shifts = self.weight.magnitudes // 2 if self.layout == "shared" else (self.weight.magnitudes - 1) // 2
        return (
            *decoder_parts(self.activation),
            Part("table_entry", self.product_rom.entries, self.product_rom.bits),
            Part("shifter_stage", shifts.bit_length(), self.product_bits),
            Part("mux2", min(self.product_rom.entries, 1), self.product_bits),
            Part("negate", 1, self.product_bits),
        )

    def operations(self, w_codes: ArrayLike) -> Operations:
        """Return a shift per even exponent (zero counts as one), a table read per odd one, and the shift behind it.

        The shift behind a read is needed in the shared layout only. Only a shift needs the activation decoded, but
        every product is charged for it: the decoder stands before the multiplexer.
        """
        _, exponent = self.weight.sign_and_steps(w_codes)
        reads = int(np.count_nonzero(exponent % 2))
        shifts = exponent.size if self.layout == "shared" else exponent.size - reads
        products = {"shift": shifts, "table_read": reads}
        return together(products, decoder_operations(self.activation, exponent.size))


def nearest_sqrt(square: int) -> int:
    """Return the integer nearest to the square root of an integer; there are no ties."""
    return (math.isqrt(4 * square) + 1) // 2
