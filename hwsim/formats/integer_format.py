"""What formats with integer levels share: the levels as integers, which circuits compute with."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.arithmetic import register_bits
from hwsim.formats.format import CodeArray, Format, read_only


@dataclass(frozen=True)
class IntegerFormat(Format):
    """A format whose levels are integers; a subclass says which."""

    name: ClassVar[str] = "integer-level"

    @cached_property
    @abstractmethod
    def integer_levels(self) -> CodeArray:
        """Level of each code, shape (2**code_bits,), 0 where the code is unused."""

    @cached_property
    @abstractmethod
    def used(self) -> NDArray[np.bool_]:
        """Whether each code names a level, shape (2**code_bits,)."""

    @cached_property
    def level_bits(self) -> int:
        """Width of a register for any level: two's complement if one is negative, otherwise unsigned."""
        return register_bits(int(self.integer_levels.min()), int(self.integer_levels.max()))

    @cached_property
    def levels(self) -> NDArray[np.float64]:
        """Level of each code, shape (2**code_bits,), NaN where the code is unused."""
        return read_only(np.where(self.used, self.integer_levels.astype(np.float64), np.nan))

    def decode_integers(self, codes: ArrayLike) -> CodeArray:
        """Return the integer level of each code, 0 for codes that the format does not use.

        Raises:
            ValueError: a code is outside 0 .. 2**code_bits - 1.
        """
        return self.integer_levels[self.checked(codes)]
