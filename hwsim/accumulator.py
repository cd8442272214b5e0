"""The register that sums products: its width, what it does on overflow, and how wide is always enough."""

from dataclasses import dataclass

import numpy as np

from hwsim.arithmetic import OVERFLOWS, IntArray, bits_for
from hwsim.errors import check_integer, unknown_name
from hwsim.multipliers import Multiplier

MAX_BITS = 63


@dataclass(frozen=True)
class Accumulator:
    """A two's complement register of 2..63 bits.

    overflow: `wrap` drops the carry; `saturate` stays at the end of the range, after every single addition, in the
    order input channel, kernel row, kernel column; `error` refuses weights that could overflow at all.

    Raises:
        ValueError: bits outside 2..63 or an unknown overflow mode.
    """

    bits: int = 32
    overflow: str = "error"

    def __post_init__(self) -> None:
        check_integer("accumulator bits", self.bits, 2, MAX_BITS)
        if self.overflow not in OVERFLOWS:
            raise unknown_name("overflow mode", self.overflow, OVERFLOWS)


def partial_sum_range(multiplier: Multiplier, weight: IntArray) -> tuple[IntArray, IntArray]:
    """Return the lowest and highest value that any partial sum can take, in any order, per output channel.

    weight: codes, shape (K, ...). Both results have shape (K,). The bound is reached: it takes each product's extreme.

    Raises:
        ValueError: a sum could leave 63 bits.
    """
    low, high = multiplier.product_range
    codes = weight.reshape(len(weight), -1)
    terms = codes.shape[1]
    if max(-int(low.min()), int(high.max())) * terms >= 1 << (MAX_BITS - 1):
        raise ValueError(f"sums of {terms} products of {multiplier.product_bits} bits could exceed {MAX_BITS} bits")
    return np.minimum(low, 0)[codes].sum(axis=1), np.maximum(high, 0)[codes].sum(axis=1)


def required_bits(multiplier: Multiplier, weight: IntArray) -> int:
    """Return the narrowest accumulator that can never overflow with these weight codes, shape (K, ...).

    Raises:
        ValueError: as `partial_sum_range`.
    """
    low, high = partial_sum_range(multiplier, weight)
    return max(2, bits_for(int(low.min()), int(high.max())))


def exact_bits(multiplier: Multiplier, terms: int) -> int:
    """Return the narrowest accumulator that holds every sum of so many products, whatever the weights."""
    low, high = multiplier.product_range
    return max(2, bits_for(min(int(low.min()), 0) * terms, max(int(high.max()), 0) * terms))
