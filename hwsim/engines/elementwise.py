"""Compiled kernels for what lies between the layers: rescale, clip, add, quantize, pool.

Images are channels last; where a kernel takes (positions, channels), that is an image with its first axes joined. An
argument None removes its step when numba compiles the kernel for it. `fusion` proves the bounds stated here.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engines.jit import kernel

Array = NDArray[Any]
Range = tuple[float, float]


@kernel
def quantize_pixels(pixels: Array, scale: float, low: float, high: float, fixed: Array) -> int:
    """Round pixels (N, C, H, W) to integers (N, H, W, C), to nearest even, and return how many were clipped."""
    overflowed = 0
    for n in range(pixels.shape[0]):
        for c in range(pixels.shape[1]):
            for y in range(pixels.shape[2]):
                for x in range(pixels.shape[3]):
                    exact = np.rint(pixels[n, c, y, x] * scale)
                    value = min(max(exact, low), high)
                    overflowed += value != exact
                    fixed[n, y, x, c] = np.int64(value)
    return overflowed


@kernel
def wrap(sums: Array, bits: int) -> int:
    """Wrap sums (any shape, contiguous) to a register in place and return how many did not fit."""
    overflowed = 0
    top = np.int64(1) << (bits - 1)
    flat = sums.reshape(-1)
    for i in range(flat.size):
        exact = np.int64(flat[i])
        register = ((exact + top) & (2 * top - 1)) - top
        overflowed += register != exact
        flat[i] = register
    return overflowed


@kernel
def rescale(
    sums: Array,
    scale: Array,
    half: float,
    bias: Array,
    rails: Range | None,
    first_clip: Range | None,
    addend: Array | None,
    last_clip: Range | None,
    fixed: Array,
) -> tuple[int, int]:
    """Rescale, clip, add and clip in one pass; return the overflows of the rescaling and of the addition.

    sums, addend, fixed: (positions, channels); bias: (channels,); scale: (samples, channels), one sample for all or
    one after another, each of as many positions. half is 0.5 to round half up, 0 to round down.
    Exact, in float64, while |sum * scale| has at most 53 bits, those after the binary point included. rails is None
    where no value can leave the datapath.
    """
    rescaled, added = 0, 0
    positions = sums.shape[0] // scale.shape[0]
    for i in range(sums.shape[0]):
        factor = scale[i // positions]
        for k in range(sums.shape[1]):
            exact = np.floor(np.float64(sums[i, k]) * factor[k] + half) + bias[k]
            value = exact
            if rails is not None:
                value = min(max(exact, rails[0]), rails[1])
                rescaled += value != exact
            if first_clip is not None:
                value = min(max(value, first_clip[0]), first_clip[1])
            if addend is not None:
                exact = value + np.float64(addend[i, k])
                value = exact
                if rails is not None:
                    value = min(max(exact, rails[0]), rails[1])
                    added += value != exact
            if last_clip is not None:
                value = min(max(value, last_clip[0]), last_clip[1])
            fixed[i, k] = fixed.dtype.type(value)
    return rescaled, added


@kernel
def quantize(
    fixed: Array, multiplier: int, half: int, shift: int, low: int, high: int, mask: int, codes: Array
) -> None:
    """Write the code of (fixed * multiplier + half) >> shift, clipped to low .. high; the product fits 63 bits.

    fixed and codes are flat.
    """
    for i in range(fixed.size):
        level = (np.int64(fixed[i]) * multiplier + half) >> shift
        codes[i] = np.int64(min(max(int(level), low), high)) & mask


@kernel
def quantize_samples(
    fixed: Array, multipliers: Array, half: int, shift: int, low: int, high: int, mask: int, codes: Array
) -> None:
    """Quantize each sample with its own multiplier (N,); fixed and codes are (N, values)."""
    for n in range(fixed.shape[0]):
        quantize(fixed[n], multipliers[n], half, shift, low, high, mask, codes[n])


@kernel
def average_pool(
    image: Array, window: tuple[int, int], stride: tuple[int, int], multiplier: int, half: int, shift: int, out: Array
) -> None:
    """Write (sum * multiplier + half) >> shift of each window, without padding; the product fits 63 bits."""
    total = np.empty(image.shape[3], dtype=np.int64)
    for n in range(out.shape[0]):
        for oy in range(out.shape[1]):
            for ox in range(out.shape[2]):
                total[:] = 0
                for y in range(oy * stride[0], oy * stride[0] + window[0]):
                    for x in range(ox * stride[1], ox * stride[1] + window[1]):
                        pixel = image[n, y, x]
                        for c in range(total.size):
                            total[c] += pixel[c]
                for c in range(total.size):
                    out[n, oy, ox, c] = (total[c] * multiplier + half) >> shift


@kernel
def max_pool(
    image: Array, kernel_size: tuple[int, int], stride: tuple[int, int], top: int, left: int, out: Array
) -> None:
    """Write the maximum of each window; padding never wins."""
    for n in range(out.shape[0]):
        for oy in range(out.shape[1]):
            first_y, first_x = max(oy * stride[0] - top, 0), 0
            last_y = min(oy * stride[0] - top + kernel_size[0], image.shape[1])
            for ox in range(out.shape[2]):
                first_x = max(ox * stride[1] - left, 0)
                last_x = min(ox * stride[1] - left + kernel_size[1], image.shape[2])
                for c in range(out.shape[3]):
                    out[n, oy, ox, c] = image[n, first_y, first_x, c]
                for y in range(first_y, last_y):
                    for x in range(first_x, last_x):
                        for c in range(out.shape[3]):
                            out[n, oy, ox, c] = max(out[n, oy, ox, c], image[n, y, x, c])


@kernel
def expand(codes: Array, groups: int, table: Array, out: Array) -> None:
    """Write table[r, code] for each term r: (positions, C) to (positions, G * R * C/G), term by term in each group."""
    terms, depth = table.shape[0], codes.shape[1] // groups
    for i in range(codes.shape[0]):
        for g in range(groups):
            for r in range(terms):
                start = (g * terms + r) * depth
                for c in range(depth):
                    out[i, start + c] = table[r, codes[i, g * depth + c]]
