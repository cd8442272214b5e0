"""Uniform formats: consecutive integers, in two's complement or unsigned."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import check_flag, check_integer
from hwsim.formats.format import CodeArray, read_only
from hwsim.formats.integer_format import IntegerFormat


@dataclass(frozen=True)
class Uniform(IntegerFormat):
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
        check_flag("signed", self.signed, " for uniform")
        check_flag("narrow", self.narrow, " for uniform")
        kind = "narrow uniform" if self.narrow else "uniform"
        check_integer("bits", self.bits, 2 if self.narrow else 1, 16, f" for {kind}")
        if self.narrow and not self.signed:
            raise ValueError("narrow uniform must be signed: an unsigned range has no most negative level to drop")

    @cached_property
    def integer_levels(self) -> CodeArray:
        """Integer that each bit pattern stands for, shape (2**bits,), 0 where it is unused."""
        pattern = np.arange(2**self.bits)
        sign = (pattern >> (self.bits - 1)) << self.bits if self.signed else 0
        return read_only(np.where(self.used, pattern - sign, 0))

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """Whether each code names a level, shape (2**bits,): all but the most negative of a narrow format."""
        used = np.ones(2**self.bits, dtype=np.bool_)
        if self.narrow:
            used[2 ** (self.bits - 1)] = False
        return read_only(used)
