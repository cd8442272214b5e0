"""Codebooks: any few integers, named by their place."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import check_integer
from hwsim.formats.format import CodeArray, read_only
from hwsim.formats.integer_format import IntegerFormat

MAX_MAGNITUDE = 2**24  #: Largest integer of a codebook; float32 holds all of them exactly.


@dataclass(frozen=True)
class Codebook(IntegerFormat):
    """Up to 2^b distinct integers in ascending order; the code is the place in that order. 1 to 8 bits.

    Learned levels (LQ-Nets, arXiv:1807.10029) and sets without zero (DoReFa, arXiv:1606.06160) are codebooks: what is
    stored is the code, and the circuit reads the integer from a small memory.

    Raises:
        ValueError: bits outside 1..8, too many integers or none, one beyond ±2^24, or an order that is not ascending.
    """

    integers: tuple[int, ...] = ()

    name: ClassVar[str] = "codebook"

    def __post_init__(self) -> None:
        check_integer("bits", self.bits, 1, 8, " for codebook")
        object.__setattr__(self, "integers", tuple(self.integers))  # a list, where it comes from JSON
        if not 1 <= len(self.integers) <= 2**self.bits:
            raise ValueError(f"a {self.bits}-bit codebook has 1..{2**self.bits} integers, got {len(self.integers)}")
        for integer in self.integers:
            check_integer("a codebook's level", integer, -MAX_MAGNITUDE, MAX_MAGNITUDE)
        for low, high in pairwise(self.integers):
            if low >= high:
                raise ValueError(f"the integers of a codebook must ascend, got {low} before {high}")

    @cached_property
    def integer_levels(self) -> CodeArray:
        """Level of each code, shape (2**bits,), 0 where it is unused."""
        levels = np.zeros(2**self.bits, dtype=np.int64)
        levels[: len(self.integers)] = self.integers
        return read_only(levels)

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """Whether each code names a level, shape (2**bits,)."""
        return read_only(np.arange(2**self.bits) < len(self.integers))
