"""What every multiplier circuit is: code x code -> integer product."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.arithmetic import register_bits
from hwsim.formats import Format, IntegerFormat
from hwsim.multipliers.decoder import decoder_rom
from hwsim.multipliers.parts import Operations, Part, Rom

if TYPE_CHECKING:
    from hwsim.rtl.multipliers import MultiplierCircuit

IntArray = NDArray[np.int64]

MAX_TABLE_ENTRIES = 2**20  #: Largest product table that is materialised: 10 x 10 bits.


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

    Activations have integer levels. A product is an integer; `unit` says what one stands for. A code that a format does
    not use multiplies as zero.

    Raises:
        ValueError: a format that this circuit cannot take, or products wider than 62 bits.
    """

    weight: Format
    activation: IntegerFormat

    name: ClassVar[str]
    weight_formats: ClassVar[tuple[type[Format], ...]]
    activation_formats: ClassVar[tuple[type[Format], ...]] = (IntegerFormat,)

    def __post_init__(self) -> None:
        operands = ("weights", self.weight), ("activations", self.activation)
        for (what, fmt), known in zip(operands, (self.weight_formats, self.activation_formats), strict=True):
            if not isinstance(fmt, known):
                kinds = " or ".join(family.name for family in known)
                raise ValueError(f"the {self.name} multiplier takes {kinds} {what}, got {fmt}")

    @classmethod
    def takes(cls, weight: Format, activation: Format) -> bool:
        """Return whether this circuit multiplies codes of these formats."""
        return isinstance(weight, cls.weight_formats) and isinstance(activation, cls.activation_formats)

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
    def operations(self, w_codes: ArrayLike) -> Operations:
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
    def roms(self) -> tuple[Rom, ...]:
        """The memories of constants that the circuit holds: here what decodes the activation."""
        return decoder_rom(self.activation)

    @property
    def table_entries(self) -> int:
        """Words of all memories; 0 where there is none."""
        return sum(rom.entries for rom in self.roms)

    @property
    def table_bits(self) -> int:
        """Bits of all memories; 0 where there is none."""
        return sum(rom.entries * rom.bits for rom in self.roms)

    @property
    def read_bits(self) -> int:
        """Width of the widest memory; 0 where there is none."""
        return max((rom.bits for rom in self.roms), default=0)

    @property
    def operand_bits(self) -> tuple[int, int]:
        """Widths of what a multiplication multiplies: activation, weight."""
        return self.activation.level_bits, self.weight.code_bits

    @property
    def add_bits(self) -> int:
        """Width of an addition inside the circuit: here that of the zero point."""
        return self.activation.level_bits

    def table(self) -> IntArray:
        """Return every product, shape (2**weight code bits, 2**activation bits).

        Raises:
            ValueError: the table would have more than 2**20 entries.
        """
        rows, columns = 2**self.weight.code_bits, 2**self.activation.code_bits
        if rows * columns > MAX_TABLE_ENTRIES:
            raise ValueError(f"a {rows} x {columns} product table exceeds {MAX_TABLE_ENTRIES} entries")
        return self.multiply(np.arange(rows)[:, None], np.arange(columns)[None, :])

    @cached_property
    def product_range(self) -> tuple[IntArray, IntArray]:
        """Lowest and highest product of each weight code, over all activation codes; each (2**weight code bits,)."""
        ends = self.activation.codes[[0, -1]]  # by level: a product is monotone in the activation's
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

    def rtl(self, style: str | None = None) -> "MultiplierCircuit":
        """Return this multiplier as an Amaranth component; `hwsim.rtl.multipliers.CIRCUITS` lists the styles.

        Raises:
            ModuleNotFoundError: amaranth is not installed.
            ValueError: this kind cannot be built in that style.
        """
        from hwsim.rtl.multipliers import circuit_for

        return circuit_for(self, style)
