"""Uniform formats: consecutive integers, in two's complement or unsigned."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.errors import check_integer
from hwsim.formats.format import CodeArray, Format


@dataclass(frozen=True)
class Uniform(Format):
    """Consecutive integers, 1 to 16 bits.

    Signed: two's complement, -2^(b-1) .. 2^(b-1)-1, LSQ's weight range (Esser et al., arXiv:1902.08153, section 2).
    Narrow: without the most negative, hence symmetric. Unsigned: 0 .. 2^b-1, the range of activations after a ReLU.

    Raises:
        ValueError: bits outside 1..16 (2..16 if narrow), or narrow without signed.
    """

    signed: bool = True
    narrow: bool = False

    name: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        kind = "narrow uniform" if self.narrow else "uniform"
        check_integer("bits", self.bits, 2 if self.narrow else 1, 16, f" for {kind}")
        if self.narrow and not self.signed:
            raise ValueError("narrow uniform must be signed: an unsigned range has no most negative level to drop")

    @cached_property
    def levels(self) -> NDArray[np.float64]:
        """Level of each code, shape (2**bits,): the integer itself."""
        levels = self.integers(np.arange(2**self.bits)).astype(np.float64)
        if self.narrow:
            levels[2 ** (self.bits - 1)] = np.nan
        levels.flags.writeable = False
        return levels

    def integers(self, codes: ArrayLike) -> CodeArray:
        """Return the integer that each bit pattern stands for."""
        pattern = self.checked(codes)
        return pattern - ((pattern >> (self.bits - 1)) << self.bits) if self.signed else pattern
