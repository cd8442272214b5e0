"""Uniform levels with an integer zero point: unsigned codes for a range that reaches below zero."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import check_integer
from hwsim.formats.format import CodeArray, read_only
from hwsim.formats.integer_format import IntegerFormat


@dataclass(frozen=True)
class Offset(IntegerFormat):
    """Levels code - zero_point, code = 0 .. 2^b-1, 1 to 16 bits.

    The affine format of integer inference (Jacob et al., arXiv:1712.05877, eq. 1), whose zero point is a code, so that
    zero is a level and padding is exact. Mid points go to the even level, as `np.rint` does, not to the even code.

    Raises:
        ValueError: bits outside 1..16, or a zero point that is not a code.
    """

    zero_point: int = 0

    name: ClassVar[str] = "offset"

    def __post_init__(self) -> None:
        check_integer("bits", self.bits, 1, 16, " for offset")
        check_integer("zero_point", self.zero_point, 0, 2**self.bits - 1, f" for {self.bits}-bit offset")

    @cached_property
    def integer_levels(self) -> CodeArray:
        """Level of each code, shape (2**bits,)."""
        return read_only(np.arange(2**self.bits) - self.zero_point)

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """True for each code, shape (2**bits,)."""
        return read_only(np.ones(2**self.bits, dtype=np.bool_))

    @property
    def upper_wins_ties(self) -> NDArray[np.bool_]:
        """Whether the upper of two neighbouring levels is even, shape (count - 1,)."""
        return np.asarray(self.integer_levels[1:] % 2 == 0)
