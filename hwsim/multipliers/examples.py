"""Approximate multipliers that are generated here, from the papers that describe them.

Each takes two magnitudes and the operands' width in bits, which places the cuts; signs are applied outside
(sign-magnitude), as the papers' signed versions do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from hwsim.errors import unknown_name
from hwsim.formats import IntegerFormat
from hwsim.multipliers.custom import TableMultiplier


def truncated(x: int, y: int, bits: int) -> int:
    """Return the sum of the partial products x_i y_j whose column i + j is at least bits - 1: the rest is cut off.

    Fixed-width truncation without correction (Schulte and Swartzlander, VLSI Signal Processing VI, 1993).
    """
    return _cells(x, y, horizontal=0, vertical=bits - 1)


def broken_array(x: int, y: int, bits: int) -> int:
    """Return the sum of the cells of an array multiplier that lie beyond both break lines.

    Rows j (bits of y) below the horizontal break level, here bits // 4, and columns i + j below the vertical one, here
    bits * 3 // 4, are left out (Mahdiani et al., IEEE Trans. Circuits Syst. I 57(4), 2010).
    """
    return _cells(x, y, bits // 4, bits * 3 // 4)


def _cells(x: int, y: int, horizontal: int, vertical: int) -> int:
    cells = ((i, j) for j in range(horizontal, y.bit_length()) for i in range(x.bit_length()) if i + j >= vertical)
    return sum(1 << (i + j) for i, j in cells if x >> i & 1 and y >> j & 1)


def mitchell(x: int, y: int, bits: int) -> int:
    """Return the product from logarithms that are straight lines between powers of two, rounded down.

    With x = 2^k (1 + f), log2 x is taken as k + f, and 2^(k + f) as 2^k (1 + f) (Mitchell, IRE Trans. Electronic
    Computers EC-11(4), 1962).
    """
    if not x or not y:
        return 0
    k = x.bit_length() + y.bit_length() - 2
    one = 1 << k
    fractions = ((x << k) >> (x.bit_length() - 1)) + ((y << k) >> (y.bit_length() - 1)) - 2 * one
    return one + fractions if fractions < one else 2 * fractions


def drum(x: int, y: int, bits: int) -> int:
    """Return the product of the operands' bits // 2 leading bits, of which the last becomes 1 where bits are dropped.

    The dynamic range unbiased multiplier (Hashemi, Bahar and Reda, ICCAD 2015).
    """
    return _leading(x, bits // 2) * _leading(y, bits // 2)


def _leading(x: int, kept: int) -> int:
    dropped = x.bit_length() - kept
    return x if dropped <= 0 else ((x >> dropped) | 1) << dropped


@dataclass(frozen=True)
class Example:
    """A construction of products, from two magnitudes and the width of the operands, in words, and where it is from."""

    product: Callable[[int, int, int], int]
    construction: str
    source: str


EXAMPLES = {
    "truncated": Example(
        truncated,
        "partial products in columns below bits - 1 are left out",
        "Schulte and Swartzlander, VLSI Signal Processing VI, 1993",
    ),
    "mitchell": Example(
        mitchell,
        "logarithms as straight lines between powers of two, rounded down",
        "Mitchell, IRE Trans. Electronic Computers EC-11(4), 1962",
    ),
    "drum": Example(
        drum,
        "bits // 2 leading bits of each operand, the last of them set where bits are dropped",
        "Hashemi, Bahar and Reda, ICCAD 2015",
    ),
    "broken_array": Example(
        broken_array,
        "cells in rows below bits // 4 and in columns below bits * 3 // 4 are left out",
        "Mahdiani et al., IEEE Trans. Circuits Syst. I 57(4), 2010",
    ),
}


@lru_cache(maxsize=64)
def example(name: str, weight: IntegerFormat, activation: IntegerFormat) -> TableMultiplier:
    """Return an example as a multiplier for these operands, cut for the wider one.

    Raises:
        ValueError: an unknown name.
    """
    if name not in EXAMPLES:
        raise unknown_name("example multiplier", name, EXAMPLES)
    bits, magnitudes = max(weight.level_bits, activation.level_bits), EXAMPLES[name].product

    def product(x: int, y: int) -> int:
        return magnitudes(abs(x), abs(y), bits) * (-1 if (x < 0) != (y < 0) else 1)

    return TableMultiplier.from_function(product, weight, activation, name)
