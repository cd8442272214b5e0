"""Products of any table without gathers, on any processor: one row of products per weight code, added to the sums.

For one input channel, T[w, a] is written out for every weight code w and every position of a strip of the images: a
row. What a weight adds to all positions of an output channel is then its code's row, shifted by the tap. Rows and sums
are 16 bits wide where that is enough (see `sum_plan`), and sums stay in registers for the taps of several channels.
"""

from typing import Any, NamedTuple

from numpy.typing import NDArray

from hwsim.engines.jit import kernel, kernel_from
from hwsim.engines.row_code import BLOCK, add_block, write_products
from hwsim.engines.table_layer import MARK

Array = NDArray[Any]


class Grid(NamedTuple):
    """Where positions are: images of so many rows of so many columns, of which the first ones are output positions.

    output: height and width of the result. stride: of the image, which is split into that many phases.
    """

    rows: int
    columns: int
    output: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@kernel
def split_phases(image: Array, grid: Grid, slots: Array, planes: Array) -> None:
    """Write images (N, H, W, C) to planes (slots, C, positions), which hold codes of zero, shifted by the padding.

    slots: int64 (stride, stride), which plane each phase is written to, -1 if no tap reads it.
    """
    for n in range(image.shape[0]):
        for y in range(image.shape[1]):
            row, phase_y = divmod(y + grid.padding[0], grid.stride[0])
            for x in range(image.shape[2]):
                column, phase_x = divmod(x + grid.padding[1], grid.stride[1])
                slot, position = slots[phase_y, phase_x], (n * grid.rows + row) * grid.columns + column
                for c in range(image.shape[3] if slot >= 0 else 0):
                    planes[slot, c, position] = image[n, y, x, c]


@kernel_from("row_code", "vector_code")
def _build_rows(planes: Array, first: int, channel: int, table: Array, rows: Array) -> None:
    """Write rows[c, phase, w, i] = table[w, planes[phase, channel + c, first + i]].

    A table of three dimensions is one of bytes (weight codes, low and high, 256).
    """
    for c in range(rows.shape[0]):
        for phase in range(planes.shape[0]):
            codes = planes[phase, channel + c, first : first + rows.shape[3]]
            for w in range(table.shape[0]):
                if table.ndim == 3:
                    write_products(codes, table, w, rows[c, phase])
                else:
                    products, row = table[w], rows[c, phase, w]
                    for i in range(row.size):
                        row[i] = products[codes[i]]


@kernel
def _write_sums(
    sums: Array, marks: Array | None, first: int, grid: Grid, shift: int, out: Array, kernel: int
) -> int:  # fmt: skip
    """Write the finished sums to out (N, OY, OX, K), from a channel on, and return how many were ever clipped."""
    clipped = 0
    for i in range(sums.shape[1]):
        line, x = divmod(first + i, grid.columns)
        n, y = divmod(line, grid.rows)
        if n < out.shape[0] and y < grid.output[0] and x < grid.output[1]:
            for k in range(sums.shape[0]):
                value = sums[k, i]
                out[n, y, x, kernel + k] = value >> shift
                if marks is not None:
                    clipped += marks[k, i] != 0
                elif shift:
                    clipped += (value & ((1 << shift) - 1)) != MARK
    return clipped


@kernel_from("row_code", "vector_code")
def add_strips(
    planes: Array, channels: tuple[int, int], table: Array, weights: Array, starts: Array, grid: Grid,
    strips: tuple[int, int], rows: Array, start: int, sums: Array, marks: Array | None, shift: int,
    ends: tuple[int, int] | None, parts: int | None, out: Array, kernel: int,
) -> int:  # fmt: skip
    """Add the products of all taps at the positions of some strips, and return how many sums were ever clipped.

    Args:
        planes: codes (phases, C, positions).
        channels: the first input channel, and the one after the last.
        table: stored products (weight codes, activation codes), or their bytes (see `_build_rows`).
        weights: codes (K, channels * taps).
        starts: int64 (channels of rows * taps), where each tap begins in the rows of weight code 0.
        grid: where the positions are.
        strips: the first, and the one after the last.
        rows: room for products (channels, phases, weight codes, length).
        start: what sums start with.
        sums: room for the sums (K, positions of a strip).
        marks: room for what remembers clipping, or None if `shift` bits below each sum do.
        shift: bits below each sum.
        ends: where each sum is clipped, or None.
        parts: None, or anything if 16 bits hold the sums of the rows' channels.
        out: int32 (N, OY, OX, all K), the result.
        kernel: the first output channel.
    """
    clipped, together, taps = 0, rows.shape[0], starts.size // rows.shape[0]
    for strip in range(strips[0], strips[1]):
        first = strip * sums.shape[1]
        sums[:] = start
        if marks is not None:
            marks[:] = 0
        for c in range(0, channels[1] - channels[0], together):
            count = min(together, channels[1] - channels[0] - c)
            _build_rows(planes, first, channels[0] + c, table, rows[:count])
            named, used = weights[:, c * taps : (c + count) * taps], starts[: count * taps]
            for block in range(0, sums.shape[1], BLOCK):
                for k in range(sums.shape[0]):
                    add_block(rows, used, named, rows.shape[3], sums, marks, k, block, ends, parts)
        clipped += _write_sums(sums, marks, first, grid, shift, out, kernel)
    return clipped
