"""What every number format is: a finite set of levels and the codes that name them."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from hwsim.arithmetic import integers

FloatArray = NDArray[np.floating[Any]]
CodeArray = NDArray[np.int64]

_Array = TypeVar("_Array", bound=NDArray[Any])

MAX_PRODUCT_BITS = 62  #: Widest magnitude of a product: it leaves the sign and one bit of a 64-bit integer.


@dataclass(frozen=True)
class Format(ABC):
    """A finite set of levels and the codes that name them.

    A code is a bit pattern, 0 .. 2**code_bits - 1. A format is a value: two formats with equal fields are equal.
    Levels are relative to a scale, which is not part of the format: x is encoded as `encode(x / scale)`.
    """

    bits: int  #: Nominal width, the number that a paper's table states.

    name: ClassVar[str]

    @property
    def code_bits(self) -> int:
        """Bits that store one code."""
        return self.bits

    @cached_property
    @abstractmethod
    def levels(self) -> NDArray[np.float64]:
        """Level of each code, shape (2**code_bits,), NaN where the code is unused."""

    @cached_property
    def codes(self) -> CodeArray:
        """The used codes, shape (count,), by ascending level."""
        used = np.flatnonzero(~np.isnan(self.levels))
        return read_only(used[np.argsort(self.levels[used])].astype(np.int64))

    @property
    def count(self) -> int:
        """How many levels the format has."""
        return len(self.codes)

    @cached_property
    def zero_code(self) -> int | None:
        """The code whose level is 0, which pads images; None if 0 is no level."""
        zeros = np.flatnonzero(self.levels == 0)
        return int(zeros[0]) if len(zeros) else None

    @cached_property
    def min_level(self) -> float:
        """The lowest level."""
        return float(self.levels[self.codes[0]])

    @cached_property
    def max_level(self) -> float:
        """The highest level."""
        return float(self.levels[self.codes[-1]])

    @property
    def signed(self) -> bool:
        """Whether some level is negative."""
        return self.min_level < 0

    @cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """Where encoding changes, shape (count - 1,): the smallest float64 that gets the next higher level.

        A threshold is the mid point of two neighbouring levels; `upper_wins_ties` decides the mid point itself.
        """
        lower, upper = self.codes[:-1], self.codes[1:]
        middle = (self.levels[lower] + self.levels[upper]) / 2  # exact: these levels are dyadic
        return read_only(np.where(self.upper_wins_ties, middle, np.nextafter(middle, np.inf)))

    @property
    def upper_wins_ties(self) -> NDArray[np.bool_]:
        """Whether a mid point belongs to the upper of two neighbouring levels, shape (count - 1,): to the even code.

        This is IEEE's tie rule: for uniform formats it is `np.rint`, and it keeps symmetric formats symmetric.
        """
        return np.asarray(self.codes[1:] % 2 == 0)

    def thresholds_as(self, dtype: DTypeLike) -> FloatArray:
        """Return the thresholds rounded up to a narrower float type.

        Comparing numbers of that type with them gives exactly the codes that float64 would.
        """
        with np.errstate(over="ignore"):  # beyond the type's largest number is its infinity
            rounded = self.thresholds.astype(dtype)
            upward = np.nextafter(rounded, np.array(np.inf, rounded.dtype))
        return np.where(rounded.astype(np.float64) < self.thresholds, upward, rounded)

    def encode(self, x: ArrayLike) -> CodeArray:
        """Return the code of the nearest level, in the linear domain; beyond the ends, the end's code.

        Ties are decided by `upper_wins_ties`.

        Raises:
            ValueError: a value is NaN.
        """
        values = np.asarray(x)
        if not np.issubdtype(values.dtype, np.floating):
            values = values.astype(np.float64)
        if np.isnan(values).any():
            raise ValueError(f"{self.name} cannot encode NaN")
        rank = np.searchsorted(self.thresholds_as(values.dtype), values, side="right")
        return self.codes[rank]

    def decode(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Return the level of each code.

        Raises:
            ValueError: a code is outside 0 .. 2**code_bits - 1, or is one that the format does not use.
        """
        indices = self.checked(codes)
        levels = self.levels[indices]
        if np.isnan(levels).any():
            raise ValueError(f"code {indices[np.isnan(levels)].flat[0]} is unused in {self}")
        return levels

    def checked(self, codes: ArrayLike) -> CodeArray:
        """Return the codes as an int64 array after checking that each fits code_bits."""
        array = integers(codes)
        if array.size and not (array.min() >= 0 and array.max() < 2**self.code_bits):
            worst = array.min() if array.min() < 0 else array.max()
            raise ValueError(f"codes of {self} must be in 0..{2**self.code_bits - 1}, got {worst}")
        return array

    def to_dict(self) -> dict[str, Any]:
        """Return the format as JSON values; `format_from_dict` reads them."""
        return {"name": self.name, **asdict(self)}


def read_only(array: _Array) -> _Array:
    """Return the array after forbidding writes to it: formats cache and share theirs."""
    array.flags.writeable = False
    return array
