"""What every multiplier circuit is: code x code -> integer product."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.arithmetic import bits_for
from hwsim.formats import Format, Uniform

IntArray = NDArray[np.int64]

MAX_TABLE_ENTRIES = 2**20  #: Largest product table that is materialised: 10 x 10 bits.


@dataclass(frozen=True)
class Part:
    """One line of a circuit's bill of materials: `quantity` blocks of this kind, each `bits` wide."""

    name: str
    quantity: int
    bits: int


@dataclass(frozen=True)
class Terms:
    """An exact factorization of the product table: T[w, a] = sum_r weight[r, w] * activation[r, a].

    weight has shape (R, 2**weight code bits), activation (R, 2**activation bits); int64.
    """

    weight: IntArray
    activation: IntArray


@dataclass(frozen=True)
class Multiplier(ABC):
    """A multiplier circuit for one weight format and one activation format.

    The activation is uniform, signed or unsigned. A product is an integer; `unit` says what one stands for. A code that
    a format does not use multiplies as zero.

    Raises:
        ValueError: a format that this circuit cannot take, or products wider than 62 bits.
    """

    weight: Format
    activation: Uniform

    name: ClassVar[str]
    weight_format: ClassVar[type[Format]]

    def __post_init__(self) -> None:
        if not isinstance(self.weight, self.weight_format):
            raise ValueError(f"the {self.name} multiplier takes {self.weight_format.name} weights, got {self.weight}")
        if not isinstance(self.activation, Uniform):
            raise ValueError(f"the {self.name} multiplier takes uniform activations, got {self.activation}")

    @abstractmethod
    def multiply(self, w_codes: ArrayLike, a_codes: ArrayLike) -> IntArray:
        """Return the integer product of each pair of codes, computed as the circuit does; shapes broadcast.

        Raises:
            ValueError: a code is outside its format's bit patterns.
        """

    @abstractmethod
    def terms(self) -> Terms:
        """Return a factorization of the product table into few terms, for engines that convolve term by term."""

    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """Return the bill of materials: the circuit's blocks."""

    @abstractmethod
    def operations(self, w_codes: ArrayLike) -> dict[str, int]:
        """Return how many operations of each kind one product with each of these weight codes costs in total."""

    @property
    def frac_bits(self) -> float:
        """Fraction bits of a product: `unit` is 2**-frac_bits (a half-integer where the unit holds a sqrt2)."""
        return 0.0

    @property
    def unit(self) -> float:
        """What an integer product of 1 stands for: weight level x activation level = product * unit."""
        return float(2.0**-self.frac_bits)

    @property
    def max_error(self) -> float:
        """Largest |product - exact|, in units of the product's last bit."""
        return 0.0

    @property
    def table_entries(self) -> int:
        """Entries of the look-up table; 0 where there is none."""
        return 0

    @property
    def table_bits(self) -> int:
        """Bits of the look-up table; 0 where there is none."""
        return 0

    def table(self) -> IntArray:
        """Return every product, shape (2**weight code bits, 2**activation bits).

        Raises:
            ValueError: the table would have more than 2**20 entries.
        """
        rows, columns = 2**self.weight.code_bits, 2**self.activation.bits
        if rows * columns > MAX_TABLE_ENTRIES:
            raise ValueError(f"a {rows} x {columns} product table exceeds {MAX_TABLE_ENTRIES} entries")
        return self.multiply(np.arange(rows)[:, None], np.arange(columns)[None, :])

    @cached_property
    def product_range(self) -> tuple[IntArray, IntArray]:
        """Lowest and highest product of each weight code, over all activation codes; each (2**weight code bits,)."""
        ends = self.activation.codes[[0, -1]]  # a product is monotone in the activation's level
        products = self.multiply(np.arange(2**self.weight.code_bits)[:, None], ends[None, :])
        return products.min(axis=1), products.max(axis=1)

    @property
    def product_bits(self) -> int:
        """Width of a product, its sign included where it can be negative."""
        low, high = self.product_range
        return register_bits(int(low.min()), int(high.max()))

    def to_dict(self) -> dict[str, Any]:
        """Return the multiplier as JSON values; `multiplier_from_dict` reads them."""
        formats = {"weight": self.weight.to_dict(), "activation": self.activation.to_dict()}
        return {"name": self.name, **asdict(self), **formats}


def register_bits(low: int, high: int) -> int:
    """Return the bits of a register for low .. high: two's complement if low is negative, otherwise unsigned."""
    return bits_for(low, high) if low < 0 else high.bit_length()
