"""Compiled kernels for what lies between the layers: wrap, rescale, clip, add, quantize, pool.

Images are channels last; where a kernel takes (positions, channels), that is an image with its first axes joined. An
argument None removes its step when numba compiles the kernel for it. `fusion` proves the bounds stated here.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engines.jit import kernel
from hwsim.engines.levels import Levels

Array = NDArray[Any]
Range = tuple[Any, Any]  #: Lowest and highest value.


@kernel
def encode(fixed: Array, levels: Levels, codes: Array) -> None:
    """Write the codes of fixed-point values; both are flat."""
    first, last = fixed.dtype.type(levels.first), fixed.dtype.type(levels.last)
    for i in range(fixed.size):
        inside = np.float32(min(max(fixed[i], first), last))
        codes[i] = np.int32(np.rint(inside * levels.slope + levels.offset)) & levels.mask


@kernel
def read_pixels(
    pixels: Array, scale: float, rails: Range, fixed: Array | None, levels: Levels | None, codes: Array | None
) -> int:
    """Round pixels (N, C, H, W) to integers (N, H, W, C), to nearest even, and return how many were clipped.

    Writes the integers, their codes, or both.
    """
    clipped = 0
    row = np.empty(pixels.shape[3], dtype=np.int64)
    encoded = np.empty(row.size, dtype=np.uint16)
    for n in range(pixels.shape[0]):
        for c in range(pixels.shape[1]):
            for y in range(pixels.shape[2]):
                for x in range(row.size):
                    exact = np.rint(pixels[n, c, y, x] * scale)
                    value = min(max(exact, rails[0]), rails[1])
                    clipped += value != exact
                    row[x] = np.int64(value)
                if fixed is not None:
                    fixed[n, y, :, c] = row
                if codes is not None and levels is not None:
                    encode(row, levels, encoded)
                    codes[n, y, :, c] = encoded
    return clipped


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
def codes_along_line(sums: Array, up: np.int32, slope: Array, offset: Array, top: np.float32, codes: Array) -> int:
    """Wrap sums, write the code of each by a `staircase.Line`, and return how many did not fit the register.

    sums, codes: (positions, channels); slope, offset: (channels,). up is 2^(32 - bits), which brings a register to the
    upper end of 32 bits. Exact for |sum| < 2^31 and registers of at most 25 bits.
    """
    overflowed, down = np.int64(0), np.float32(1) / np.float32(up)
    for i in range(sums.shape[0]):
        in_row = np.int32(0)
        for k in range(sums.shape[1]):
            register = np.float32(np.int32(np.int32(sums[i, k]) * up)) * down
            in_row = np.int32(in_row + (register != sums[i, k]))
            code = np.rint(slope[k] * register + offset[k])
            codes[i, k] = np.int32(min(max(code, np.float32(0)), top))
        overflowed += in_row
    return int(overflowed)


@kernel
def rescale(
    sums: Array,
    up: np.int32 | None,
    scale: Array,
    half: float,
    bias: Array,
    first_clip: Range,
    addend: Array | None,
    last_clip: Range,
    fixed: Array,
) -> int:
    """Wrap, rescale, clip, add and clip on a datapath that no value leaves; return how many sums did not fit.

    sums, addend, fixed: (positions, channels); bias: (channels,); scale: (samples, channels), one sample for all or one
    after another, each of as many positions. bias and clips are of fixed's type. half is 0.5 to round half up, 0 to
    round down. up: as for `codes_along_line`, None if nothing wraps. Exact while |sum * scale| has at most 53 bits,
    those after the binary point included, and what it rounds to, like the bias, fits fixed's type.
    """
    overflowed, integer = np.int64(0), fixed.dtype.type
    positions = sums.shape[0] // scale.shape[0]
    for i in range(sums.shape[0]):
        factor = scale[i // positions]
        in_row = np.int32(0)
        for k in range(sums.shape[1]):
            total = np.float64(sums[i, k])
            if up is not None:
                exact = total
                total = np.float64(np.int32(np.int32(sums[i, k]) * up)) * (1 / np.float64(up))
                in_row = np.int32(in_row + (total != exact))
            value = integer(integer(np.floor(total * factor[k] + half)) + bias[k])
            value = min(max(value, first_clip[0]), first_clip[1])
            if addend is not None:
                value = integer(value + addend[i, k])
            fixed[i, k] = min(max(value, last_clip[0]), last_clip[1])
        overflowed += in_row
    return int(overflowed)


@kernel
def rescale_saturating(
    sums: Array,
    scale: Array,
    half: float,
    bias: Array,
    rails: Range,
    first_clip: Range,
    addend: Array | None,
    last_clip: Range,
    fixed: Array,
) -> tuple[int, int]:
    """Rescale, clip, add and clip on a datapath that saturates; return the overflows of rescaling and addition.

    As `rescale`, in float64: bias, rails and clips are floats.
    """
    rescaled, added = 0, 0
    positions = sums.shape[0] // scale.shape[0]
    for i in range(sums.shape[0]):
        factor = scale[i // positions]
        for k in range(sums.shape[1]):
            exact = np.floor(np.float64(sums[i, k]) * factor[k] + half) + bias[k]
            value = min(max(exact, rails[0]), rails[1])
            rescaled += value != exact
            value = min(max(value, first_clip[0]), first_clip[1])
            if addend is not None:
                exact = value + np.float64(addend[i, k])
                value = min(max(exact, rails[0]), rails[1])
                added += value != exact
            fixed[i, k] = fixed.dtype.type(min(max(value, last_clip[0]), last_clip[1]))
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
def compare(fixed: Array, thresholds: Array, codes_by_place: Array, codes: Array) -> None:
    """Write the code at the place that the number of thresholds <= fixed says; fixed and codes are flat."""
    for i in range(fixed.size):
        below, above = 0, thresholds.size
        while below < above:
            middle = (below + above) // 2
            if thresholds[middle] <= fixed[i]:
                below = middle + 1
            else:
                above = middle
        codes[i] = codes_by_place[below]


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
    image: Array,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    top: int,
    left: int,
    sign: Array | None,
    out: Array,
) -> None:
    """Write the maximum of each window, where a channel's sign is -1 the minimum; padding never wins.

    sign: (channels,), of the image's type, or None if all are 1.
    """
    columns = np.empty(image.shape[2:], dtype=image.dtype)  # of one row of windows
    for n in range(out.shape[0]):
        for oy in range(out.shape[1]):
            first_y = max(oy * stride[0] - top, 0)
            last_y = min(oy * stride[0] - top + kernel_size[0], image.shape[1])
            _maximum_of_rows(image[n, first_y:last_y], sign, columns)
            for ox in range(out.shape[2]):
                first_x = max(ox * stride[1] - left, 0)
                last_x = min(ox * stride[1] - left + kernel_size[1], image.shape[2])
                _maximum_of_columns(columns[first_x:last_x], sign, out[n, oy, ox])


@kernel
def _maximum_of_rows(rows: Array, sign: Array | None, out: Array) -> None:
    for x in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[x, c] = rows[0, x, c] if sign is None else rows[0, x, c] * sign[c]
        for y in range(1, len(rows)):
            for c in range(out.shape[1]):
                value = rows[y, x, c] if sign is None else rows[y, x, c] * sign[c]
                out[x, c] = max(out[x, c], value)


@kernel
def _maximum_of_columns(columns: Array, sign: Array | None, out: Array) -> None:
    for c in range(out.size):
        out[c] = columns[0, c]
    for x in range(1, len(columns)):
        for c in range(out.size):
            out[c] = max(out[c], columns[x, c])
    if sign is not None:
        for c in range(out.size):
            out[c] *= sign[c]


@kernel
def look_up(codes: Array, table: Array, out: Array) -> None:
    """Write table[code] for each code; all are flat."""
    for i in range(codes.size):
        out[i] = table[codes[i]]


@kernel
def expand_linearly(codes: Array, factor: Array, start: Array, out: Array) -> None:
    """Write two terms (code * factor[r] + start[r]) >> 16 in 0..255 for each of the flat codes, as one 16-bit integer.

    What is shifted fits 32 bits. out of 8 bits takes the first term alone.
    """
    f0, f1, s0, s1 = factor[0], factor[1], start[0], start[1]
    for i in range(codes.size):
        low = np.int32(codes[i] * f0 + s0) >> 16
        high = np.int32(codes[i] * f1 + s1) >> 16
        out[i] = low | (high << 8)
