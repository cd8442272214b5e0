"""Products of any table without gathers, on any processor: one row of products per weight code, added to the sums.

For one input channel, T[w, a] is written out for every weight code w and every position: a row. What a weight adds
to all positions of an output channel is then its code's row, shifted by the tap. Rows are added several at a time, and
clipped after each where the accumulator saturates, and two bits below it remember that (as in `lanes`).
"""

from typing import Any

from numpy.typing import NDArray

from hwsim.engines.jit import kernel

Array = NDArray[Any]

UNROLLED = 6  #: Rows added in one pass.


@kernel
def split_phases(image: Array, first: int, last: int, stride: tuple[int, int], planes: Array) -> None:
    """Write channels first .. last of images (N, H, W, C) to planes (channels, SY, SX, N, HQ, WQ), one per phase."""
    for c in range(first, last):
        for n in range(image.shape[0]):
            for y in range(image.shape[1]):
                for x in range(image.shape[2]):
                    py, px = y % stride[0], x % stride[1]
                    planes[c - first, py, px, n, y // stride[0], x // stride[1]] = image[n, y, x, c]


@kernel
def build_rows(codes: Array, table: Array, rows: Array) -> None:
    """Write rows[c, w, i] = table[w, codes[c, i]]."""
    for c in range(codes.shape[0]):
        for w in range(table.shape[0]):
            products, row = table[w], rows[c, w]
            for i in range(codes.shape[1]):
                row[i] = products[codes[c, i]]


@kernel
def _add_rest(
    total: Array, codes: Array, flat: Array, starts: Array, length: int, ends: tuple[int, int] | None
) -> None:
    """Add the rows that are too few for a whole pass."""
    for j in range(starts.size - starts.size % UNROLLED, starts.size):
        row = flat[starts[j] + codes[j] * length :][: total.size]
        for i in range(total.size):
            total[i] = total[i] + row[i]
            if ends is not None:
                total[i] = min(max(total[i], ends[0]), ends[1])


@kernel
def add_rows(rows: Array, weights: Array, starts: Array, sums: Array, ends: tuple[int, int] | None) -> None:
    """Add to each output channel's sums (K, positions) the rows that its weights name, in order.

    rows: (channels, weight codes, length); weights: codes (K, channels * taps); starts: per tap, its first element
    in the flat rows of weight code 0. ends: where each sum is clipped, None if no sum can get there.
    """
    flat, length, positions = rows.reshape(-1), rows.shape[2], sums.shape[1]
    count = starts.size
    for k in range(sums.shape[0]):
        total, codes = sums[k], weights[k]
        for j in range(0, count - count % UNROLLED, UNROLLED):
            r0 = flat[starts[j] + codes[j] * length :][:positions]
            r1 = flat[starts[j + 1] + codes[j + 1] * length :][:positions]
            r2 = flat[starts[j + 2] + codes[j + 2] * length :][:positions]
            r3 = flat[starts[j + 3] + codes[j + 3] * length :][:positions]
            r4 = flat[starts[j + 4] + codes[j + 4] * length :][:positions]
            r5 = flat[starts[j + 5] + codes[j + 5] * length :][:positions]
            if ends is None:
                for i in range(positions):
                    total[i] = total[i] + (r0[i] + r1[i]) + (r2[i] + r3[i]) + (r4[i] + r5[i])
            else:
                for i in range(positions):
                    value = min(max(total[i] + r0[i], ends[0]), ends[1])
                    value = min(max(value + r1[i], ends[0]), ends[1])
                    value = min(max(value + r2[i], ends[0]), ends[1])
                    value = min(max(value + r3[i], ends[0]), ends[1])
                    value = min(max(value + r4[i], ends[0]), ends[1])
                    total[i] = min(max(value + r5[i], ends[0]), ends[1])
        _add_rest(total, codes, flat, starts, length, ends)
