"""A multiplier's terms brought into 8 bits, so that an int8 convolution sums them."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray
from hwsim.multipliers import Multiplier, Terms

MAX_TERMS = 3  #: A convolution of more terms takes longer than the compiled kernels.
WEIGHT_RANGE = (-128, 127)
UNSIGNED_RANGE, SIGNED_RANGE = (0, 255), (-128, 127)


@dataclass(frozen=True)
class Int8Terms:
    """T[w, a] = sum_r weight[r, w] * (activation[r, a] - zero_point), with 8-bit weights and activations.

    weight: (R, weight codes) in -128..127; activation: (R, activation codes) in 0..255; zero_point: 0 or 128.
    """

    weight: IntArray
    activation: IntArray
    zero_point: int


@lru_cache(maxsize=64)
def int8_terms(multiplier: Multiplier) -> Int8Terms | None:
    """Return the multiplier's terms in 8 bits, as many as `Multiplier.terms`, or None if they do not fit or exceed 3.

    The first term's power of two may stand on either side, and multiples of its activations may be taken out of the
    other terms' activations and given to its weights: sum U_r V_r = (U_0 + c U_r) V_0 + U_r (V_r - c V_0) + ...
    """
    terms = multiplier.terms()
    if len(terms.weight) > MAX_TERMS:
        return None
    content = int(np.gcd.reduce(np.abs(terms.activation[0])))
    primitive = terms.activation[0] // max(content, 1)
    for factor in _powers_of_two(content):
        fitted = _fit(terms, primitive * (content // factor), factor)
        if fitted is not None:
            return fitted
    return None


def _powers_of_two(content: int) -> list[int]:
    return [1 << i for i in range(content.bit_length()) if content % (1 << i) == 0]


def _fit(terms: Terms, first: IntArray, factor: int) -> Int8Terms | None:
    """Return the terms with `first` as the first one's activations, which are `factor` times smaller than they were."""
    choices = [_multiples(first, other) for other in terms.activation[1:]]
    for multiples in product(*choices):
        activation = np.stack([first, *(v - c * first for v, c in zip(terms.activation[1:], multiples, strict=True))])
        taken = sum((c * u for u, c in zip(terms.weight[1:], multiples, strict=True)), np.zeros_like(terms.weight[0]))
        weight = np.stack([terms.weight[0] * factor + taken, *terms.weight[1:]])
        zero_point = 0 if _within(activation, UNSIGNED_RANGE) else 128
        if _within(weight, WEIGHT_RANGE) and _within(activation + zero_point, UNSIGNED_RANGE):
            return Int8Terms(weight, activation + zero_point, zero_point)
    return None


def _multiples(first: IntArray, other: IntArray) -> list[int]:
    """Return the multiples of `first` that could make `other` small: none, and those around its own multiple."""
    largest = int(np.abs(first).argmax())
    if first[largest] == 0:
        return [0]
    ratio = int(other[largest]) // int(first[largest])
    return sorted({0, ratio, ratio - 1, ratio + 1}, key=lambda c: int(np.abs(other - c * first).max()))


def _within(values: IntArray, limits: tuple[int, int]) -> bool:
    return bool(values.min() >= limits[0] and values.max() <= limits[1])


def linear_terms(activation: IntArray) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
    """Return two factors and two starts such that activation[r, a] is (a * factor[r] + start[r]) >> 16.

    activation: (R, activation codes) in 0..255, as of `Int8Terms`; a second term that is missing is 0. A multiple of
    the activation, rounded, has this form, which vector registers compute faster than they read a table. None if a term
    has not, or if there are three.
    """
    lines = [_line(term) for term in activation.astype(np.int64)]
    if len(lines) > 2 or activation.shape[1] > 256:
        return None
    found = [line for line in lines if line is not None]
    if len(found) < len(lines):
        return None
    factor, start = zip(*found, *[(0, 0)] * (2 - len(found)), strict=True)
    return np.array(factor, dtype=np.int32), np.array(start, dtype=np.int32)


def _line(term: IntArray) -> tuple[int, int] | None:
    """Return (factor, start) of one term: the middles of the slopes, then of the starts, that its steps allow."""
    codes = np.arange(len(term))
    run, rise = (x[None, :] - x[:, None] for x in (codes, term))
    later = run > 0
    lowest, highest = ((rise[later] - 1) / run[later]).max(), ((rise[later] + 1) / run[later]).min()
    factor = round((lowest + highest) / 2 * 2**16)
    starts = (term << 16) - codes * factor
    low, high = int(starts.max()), int(starts.min()) + (1 << 16) - 1
    return (factor, (low + high) // 2) if low <= high else None
