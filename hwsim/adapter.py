"""The arithmetic of ASQ's step-size adapter in fixed point: small linear layers, and what beta does to a multiplier."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hwsim.arithmetic import IntArray, Requantizer, largest_magnitude, shift_right

HIDDEN_BITS = 8  #: Width of the adapter's weights and of the codes between its layers.


@dataclass(frozen=True, eq=False)
class AdapterLayer:
    """One linear layer: clip(requantize(weight @ codes + bias), lowest, highest), whose lower end is its ReLU.

    weight: int64, shape (J, C), two's complement of 8 bits; bias: int64, shape (J,), in units of the sums.

    Raises:
        ValueError: shapes that do not fit, or weights beyond 8 bits.
    """

    weight: IntArray
    bias: IntArray
    requantizer: Requantizer

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or not self.weight.size or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                f"an adapter's layer has weights (J, C) and a bias (J,), got {self.weight.shape}, {self.bias.shape}"
            )
        half = 1 << (HIDDEN_BITS - 1)
        if not (-half <= self.weight.min() and self.weight.max() < half):
            raise ValueError(
                f"an adapter's weights have {HIDDEN_BITS} bits, got {self.weight.min()}..{self.weight.max()}"
            )

    def largest_sum(self, largest_code: int) -> int:
        """Return the largest magnitude that weight @ codes + bias can have."""
        return int(np.abs(self.weight).sum(axis=1).max()) * largest_code + largest_magnitude(self.bias)

    def apply(self, codes: IntArray, low: int, high: int) -> IntArray:
        """Return the outputs (N, J) of codes (N, C)."""
        return np.clip(self.requantizer.apply(codes @ self.weight.T + self.bias), low, high)


def run_layers(layers: Iterable[AdapterLayer], codes: IntArray, bits: int) -> IntArray:
    """Return beta (N, 1), 1 .. 2^bits - 1, of pooled codes (N, C); codes between the layers are 0 .. 255."""
    *inner, last = layers
    for layer in inner:
        codes = layer.apply(codes, 0, (1 << HIDDEN_BITS) - 1)
    return last.apply(codes, 1, (1 << bits) - 1)


def divided(requantizer: Requantizer, beta: IntArray) -> IntArray:
    """Return the multipliers (N, 1) or (N, K) of x / beta: floor(m / beta + 1/2), one integer division each."""
    return np.asarray((2 * requantizer.multiplier + beta) // (2 * beta))


def multiplied(requantizer: Requantizer, beta: IntArray, bits: int) -> IntArray:
    """Return the multipliers (N, 1) or (N, K) of x * beta / 2^bits: floor(m * beta / 2^bits + 1/2)."""
    return shift_right(requantizer.multiplier * beta, bits)


def requantized(x: IntArray, multiplier: IntArray, requantizer: Requantizer) -> IntArray:
    """Return x, shape (N, K, ...), times each sample's multipliers, shifted and rounded as the requantizer says."""
    ones = (1,) * (x.ndim - 2)
    shift = requantizer.shift.reshape(-1, *ones) if requantizer.shift.ndim else requantizer.shift
    return shift_right(x * multiplier.reshape(*multiplier.shape, *ones), shift, requantizer.rounding)
