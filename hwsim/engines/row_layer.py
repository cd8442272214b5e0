"""A layer as rows of products that are added up (see `rows`): every table, every accumulator, every processor."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engines import lanes, rows
from hwsim.engines.row_code import BLOCK
from hwsim.engines.sum_plan import INT16, SumPlan, saturating_plan
from hwsim.engines.table_layer import TableLayer
from hwsim.engines.threads import share_out, thread_count
from hwsim.nodes import Matmul, Pair

Array = NDArray[Any]

MAX_TABLE_BITS = 16
ROW_BYTES = 1 << 17  #: Rows are built for so many channels at a time that they take about this much of the cache,
STRIP_BYTES = 1 << 18  #: and for so many positions that those of one channel, or all sums, take no more than this.


def row_plan(node: Matmul) -> SumPlan | None:
    """Return how a layer's rows and sums are kept, or None if the table is large or the sums do not fit 32 bits."""
    layer, multiplier = TableLayer(node), node.multiplier
    if multiplier.weight.code_bits + multiplier.activation.bits > MAX_TABLE_BITS:
        return None
    return saturating_plan(layer) if layer.saturable else _exact_plan(layer)


def _exact_plan(layer: TableLayer) -> SumPlan | None:
    low, high = int(layer.table.min()), int(layer.table.max())
    bias = (low + high + 1) // 2
    if layer.largest_sum >= 1 << 31:
        return None
    if max(high - bias, bias - low) * layer.weight[0, 0].size <= INT16[1]:
        return SumPlan(np.int16, np.int16, "16-bit sums of some channels", bias=bias)
    if high - low < 1 << 16:
        return SumPlan(np.int16, np.int32, "16-bit products summed in 32 bits", bias=bias)
    return SumPlan(np.int32, np.int32, "32-bit sums")


class RowLayer:
    """A layer by rows of products."""

    def __init__(self, node: Matmul, plan: SumPlan) -> None:
        self.layer, self.plan = TableLayer(node), plan
        self.path = f"rows of products, {plan.reason}: {self.layer.summary}"
        self.wrap_bits = self.layer.wrap_bits
        self.table = _stored(plan, self.layer)
        flat = self.layer.weight.reshape(len(self.layer.weight), -1)
        narrow = flat.astype(np.uint8 if len(self.table) <= 1 << 8 else np.uint16)
        self.weights = np.split(narrow, self.layer.conv.groups)

    def __call__(self, codes: Array) -> tuple[Array, int]:
        """Return the sums or registers, and how many were clipped."""
        narrow = codes.astype(np.uint8 if self.layer.node.multiplier.activation.bits <= 8 else np.uint16, copy=False)
        strips = _Strips(self.layer, self.plan, narrow if codes.ndim == 4 else narrow[:, None, None, :])
        sums = np.empty((len(codes), *strips.grid.output, len(self.layer.weight)), dtype=np.int32)
        depth = self.layer.weight.shape[1]
        clipped = sum(
            self._add_group(strips, (g * depth, (g + 1) * depth), weights, sums, g * len(weights))
            for g, weights in enumerate(self.weights)
        )
        return (sums if codes.ndim == 4 else sums[:, 0, 0]), clipped

    def _add_group(self, strips: "_Strips", channels: Pair, weights: Array, out: Array, kernel: int) -> int:
        plan, clipped = self.plan, []

        def work(part: Pair, kernels: Pair) -> None:
            named = weights[slice(*kernels)]
            shape, start = (len(named), strips.size), plan.start(weights.shape[1])
            sums = np.empty(shape, dtype=np.int32 if strips.in_parts else plan.sums)
            marks = np.empty_like(sums) if plan.marks else None
            room = np.empty(strips.rows_shape, dtype=plan.entry)
            clipped.append(rows.add_strips(
                strips.planes, channels, self.table, named, strips.starts, strips.grid, part, room, start, sums, marks,
                plan.shift, plan.ends, 1 if strips.in_parts else None, out, kernel + kernels[0],
            ))  # fmt: skip

        products = strips.count * strips.size * weights.size
        if strips.count >= thread_count():
            share_out(lambda first, last: work((first, last), (0, len(weights))), strips.count, products)
        else:
            share_out(lambda first, last: work((0, strips.count), (first, last)), len(weights), products)
        return sum(clipped)


class _Strips:
    """The codes of a batch of images as strips of positions, and where taps find theirs.

    Images are joined row by row, with as little padding between them as keeps a window from reaching two: what is right
    of a row is left of the next one. A stride becomes a step of one in the phases (planes) that images are split into.
    """

    def __init__(self, layer: TableLayer, plan: SumPlan, image: Array) -> None:
        conv, (n, *size, _), output = layer.conv, image.shape, layer.size(image)
        pitches = [
            max(-(-(extent + p) // s), positions)
            for extent, p, s, positions in zip(size, conv.padding, conv.stride, output, strict=True)
        ]
        self.grid = rows.Grid(pitches[0], pitches[1], output, conv.stride, conv.padding)
        slots, slot, shift = self._taps(layer)
        self.in_parts = plan.sums is np.int16 and not layer.saturable
        positions = ((n - 1) * pitches[0] + output[0] - 1) * pitches[1] + output[1]
        reach, column_bytes = int(shift.max()), len(layer.table) * (int(slot.max()) + 1) * plan.entry_bytes
        self.size = _strip_size(positions, column_bytes, reach, len(layer.weight) // conv.groups)
        self.count, length = -(-positions // self.size), _blocks(self.size + reach) * BLOCK
        together = max(1, min(layer.weight.shape[1], ROW_BYTES // (column_bytes * length)))
        if self.in_parts:
            most = plan.largest_entry(layer.table) * slot.size
            together = max(1, min(together, INT16[1] // max(most, 1)))
        self.rows_shape = (together, int(slot.max()) + 1, len(layer.table), length)
        channels = np.arange(together)[:, None] * self.rows_shape[1]
        self.starts = ((channels + slot) * len(layer.table) * length + shift).reshape(-1)
        total = max(n * pitches[0] * pitches[1], (self.count - 1) * self.size + length)
        self.planes = np.full((int(slot.max()) + 1, image.shape[3], total), layer.zero_code, dtype=image.dtype)
        rows.split_phases(image, self.grid, slots, self.planes)

    def _taps(self, layer: TableLayer) -> tuple[Array, Array, Array]:
        """Return the plane of each phase, -1 for none, and the plane and the shift of each tap."""
        conv, (fy, fx), (sy, sx) = layer.conv, layer.weight.shape[2:], layer.conv.stride
        y, x = np.arange(fy)[:, None] * conv.dilation[0], np.arange(fx)[None, :] * conv.dilation[1]
        used, slot = np.unique(y % sy * sx + x % sx, return_inverse=True)
        slots = np.full(sy * sx, -1)
        slots[used] = np.arange(len(used))
        return slots.reshape(sy, sx), slot.reshape(-1), (y // sy * self.grid.columns + x // sx).reshape(-1)


def _stored(plan: SumPlan, layer: TableLayer) -> Array:
    """Return the table as the kernel reads it: its bytes where permutes of them can make rows of 16-bit products."""
    entries = plan.entries(layer.table)
    if plan.entry is not np.int16 or layer.node.multiplier.activation.bits > 8 or not lanes.bytes_available():
        return entries
    padded = np.pad(entries, ((0, 0), (0, (1 << 8) - entries.shape[1])))
    return np.ascontiguousarray(padded.view(np.uint8).reshape(len(padded), -1, 2).transpose(0, 2, 1))


def _strip_size(positions: int, column_bytes: int, reach: int, kernels: int) -> int:
    """Return how many positions a strip has: whole blocks, one for each thread if there are so many."""
    most = min(STRIP_BYTES // column_bytes - reach, STRIP_BYTES // (4 * kernels))
    return BLOCK * max(1, min(_blocks(max(most, reach)), -(-_blocks(positions) // thread_count())))


def _blocks(positions: int) -> int:
    return -(-positions // BLOCK)
