"""How many products a processing element finishes per cycle, as a function of the operands' widths.

Each style returns (products, cycles): that many products in that many cycles, for int64 arrays of weight and activation
bits. So low widths pay exactly where the hardware was built for them.
"""

from collections.abc import Callable

import numpy as np

from hwsim.arithmetic import IntArray

Rate = tuple[IntArray, IntArray]


def native(weight_bits: IntArray, activation_bits: IntArray) -> Rate:
    """Return one product per cycle at any width: the element is built for the widths at hand (SCALE-Sim's rule)."""
    one = np.ones_like(weight_bits * activation_bits)
    return one, one


def fixed8(weight_bits: IntArray, activation_bits: IntArray) -> Rate:
    """Return one product of up to 8 x 8 bits per cycle; wider operands go in 8-bit pieces, narrower gain nothing."""
    pieces = -(-weight_bits // 8) * -(-activation_bits // 8)
    return np.ones_like(pieces), pieces


def stripes(weight_bits: IntArray, activation_bits: IntArray) -> Rate:
    """Return 16 products per b_a cycles: activations bit by bit in 16 lanes, weights in parallel; 16 bits are par.

    Judd et al., "Stripes: bit-serial deep neural network computing", MICRO 2016.
    """
    lanes = np.full_like(weight_bits * activation_bits, 16)
    return lanes, activation_bits + np.zeros_like(lanes)


def bitfusion(weight_bits: IntArray, activation_bits: IntArray) -> Rate:
    """Return 16 products per (b_w / 2)(b_a / 2) cycles, widths rounded up to 2, 4, 8, 16: sixteen 2 x 2 bit bricks.

    Sharma et al., "Bit Fusion", ISCA 2018, arXiv:1712.01507: 1 product of 8 x 8, 4 of 4 x 4, 16 of 2 x 2 bits a cycle.
    """
    bricks = _power_of_two(weight_bits) * _power_of_two(activation_bits) // 4
    return np.full_like(bricks, 16), bricks


def bitsystolic(weight_bits: IntArray, activation_bits: IntArray) -> Rate:
    """Return 64 products per b_w b_a cycles: both operands bit by bit, any width, 8 x 8 bits as the baseline.

    An idealization in the manner of Yang and Li, "BitSystolic", TCSI 2021, doi:10.1109/TCSI.2020.3043778 (2 to 8 bits).
    """
    cycles = weight_bits * activation_bits
    return np.full_like(cycles, 64), cycles


def _power_of_two(bits: IntArray) -> IntArray:
    """Return the next of 2, 4, 8, 16, 32, ..."""
    exponents = np.ceil(np.log2(np.maximum(bits, 2))).astype(np.int64)
    return np.left_shift(np.int64(1), exponents)


STYLES: dict[str, Callable[[IntArray, IntArray], Rate]] = {
    "native": native,
    "fixed8": fixed8,
    "stripes": stripes,
    "bitfusion": bitfusion,
    "bitsystolic": bitsystolic,
}
