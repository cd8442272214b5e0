"""The hardware that a trained network is exported to."""

from dataclasses import dataclass, field

from hwsim.arithmetic import ROUNDINGS, Requantizer
from hwsim.errors import unknown_name
from hwsim.network import Datapath
from trainers.folding import FloatArray

PRODUCT_BITS = 63  #: A value times a multiplier stays below this power of two.


@dataclass(frozen=True)
class ExportConfig:
    """The hardware that a trained network is exported to.

    Raises:
        ValueError: an unknown rounding mode, or multiplier_bits outside 8..31.
    """

    fraction_bits: int = 6  #: Fraction bits of POST's table.
    layout: str = "shared"  #: Layout of POST's table: shared or full.
    datapath: Datapath = field(default_factory=Datapath)  #: Fixed point of the values between the layers.
    accumulator_bits: int | None = None  #: Width of every accumulator; None: each layer's narrowest safe one.
    overflow: str = "error"  #: What an accumulator does on overflow: error, wrap or saturate.
    tables: tuple[str, ...] = ()  #: Product tables, `TABLE` or `PATTERN=TABLE`; layers without one multiply exactly.
    multiplier_bits: int = 24  #: Bits of the rescaling multipliers, fewer where a product would leave 63 bits.
    rounding: str = "half_up"  #: Rounding of every rescaling.

    def __post_init__(self) -> None:
        if self.rounding not in ROUNDINGS:
            raise unknown_name("rounding", self.rounding, ROUNDINGS)
        if not 8 <= self.multiplier_bits <= 31:
            raise ValueError(f"multiplier_bits must be in 8..31, got {self.multiplier_bits}")

    def requantizer(self, scale: FloatArray, largest: int) -> Requantizer:
        """Return the requantizer of a scale for integers up to `largest`."""
        bits = min(self.multiplier_bits, PRODUCT_BITS - largest.bit_length())
        return Requantizer.from_scale(scale, bits, self.rounding)


DEFAULT_EXPORT = ExportConfig()
