"""A layer whose output channels fill the lanes of vector registers (see `lanes`)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray
from hwsim.engines import lanes
from hwsim.engines.sum_plan import SumPlan, saturating_plan
from hwsim.engines.table_layer import TableLayer, unmark
from hwsim.engines.threads import share_out
from hwsim.nodes import Matmul

Array = NDArray[Any]

LEAST_CHANNELS = 16  #: Fewer output channels per group would leave most lanes empty.


def lane_plan(node: Matmul) -> SumPlan | None:
    """Return the kernel for a layer, or None if there is none for it or for this processor."""
    layer, multiplier = TableLayer(node), node.multiplier
    few = len(layer.weight) // layer.conv.groups < LEAST_CHANNELS
    if few or not lanes.available() or len(layer.table) > lanes.CODES or multiplier.activation.bits > 8:
        return None
    return saturating_plan(layer) if layer.saturable else _exact_plan(layer)


def _exact_plan(layer: TableLayer) -> SumPlan | None:
    low, high = int(layer.table.min()), int(layer.table.max())
    if layer.largest_sum >= 1 << 31:
        return None
    if high - low < 1 << 8 and lanes.bytes_available():
        return SumPlan(np.uint8, np.int32, "8-bit lanes summed in 32 bits", bias=low)
    if high - low < 1 << 16:
        return SumPlan(np.int16, np.int32, "16-bit lanes summed in 32 bits", bias=low + (1 << 15))
    return SumPlan(np.int32, np.int32, "32-bit lanes")


class LaneLayer:
    """A layer by vector permutes."""

    def __init__(self, node: Matmul, plan: SumPlan) -> None:
        self.layer, self.plan = TableLayer(node), plan
        self.path = f"vector permutes, {plan.reason}: {self.layer.summary}"
        self.wrap_bits = self.layer.wrap_bits
        self.taps, self.pixels = plan.sum_bytes // plan.entry_bytes, lanes.PIXELS[8 * plan.sum_bytes]
        self.table = _columns(plan.entries(self.layer.table.T), self.taps)
        self.start, self.ones = plan.start(self.layer.weight[0].size), _ones(self.layer.weight[0].size, self.taps)
        self.weights = [_pack(part, self.taps) for part in np.split(self.layer.weight, self.layer.conv.groups)]
        self.places: dict[tuple[int, ...], tuple[Array, Array]] = {}

    def __call__(self, codes: Array) -> tuple[Array, int]:
        """Return the sums or registers, and how many were clipped."""
        shaped = codes if codes.ndim == 4 else codes[:, None, None, :]
        image, size = self.layer.padded(shaped.astype(np.uint8, copy=False)), self.layer.size(shaped)
        positions, groups = len(codes) * size[0] * size[1], len(self.weights)
        depth, kernels = image.shape[3] // groups, len(self.layer.weight) // groups
        parts, clipped = [], 0
        for g, weights in enumerate(self.weights):
            out, marks = self._add_group(image.reshape(-1)[g * depth :], self._places(image, size), weights)
            kept = out[:positions, :kernels], None if marks is None else marks[:positions, :kernels]
            sums, count = self._read(*kept)
            parts.append(sums)
            clipped += count
        sums = np.ascontiguousarray(parts[0]) if groups == 1 else np.concatenate(parts, axis=1)
        return (sums.reshape(len(codes), *size, -1) if codes.ndim == 4 else sums), clipped

    def _add_group(self, image: Array, places: tuple[Array, Array], weights: Array) -> tuple[Array, Array | None]:
        offsets, taps = places
        out = np.full((offsets.size, len(weights) * lanes.WIDTH), self.start, dtype=self.plan.sums)
        marks = np.zeros_like(out) if self.plan.marks else None

        def work(tiles: slice, blocks: slice) -> None:
            rows = slice(tiles.start * self.pixels, None), slice(blocks.start * lanes.WIDTH, None)
            kept = None if marks is None else marks[rows]
            named = weights[blocks]
            ones, ends = self.ones, self.plan.ends
            lanes.add_products(image, offsets[tiles], taps, named, self.table, ones, out[rows], kept, ends)

        products = out.size * taps.size
        if len(offsets) >= 8 * len(weights):
            share_out(lambda first, last: work(slice(first, last), slice(0, None)), len(offsets), products)
        else:
            share_out(lambda first, last: work(slice(0, None), slice(first, last)), len(weights), products)
        return out, marks

    def _read(self, out: Array, marks: Array | None) -> tuple[Array, int]:
        """Return the finished sums, int32, and how many were clipped."""
        if marks is not None:
            return out.astype(np.int32) >> self.plan.shift, int(np.count_nonzero(marks))
        if not self.plan.mark_bits:
            return out, 0
        sums = np.empty(out.shape, dtype=np.int32)
        return sums, unmark(out, self.plan.mark_bits, sums)

    def _places(self, image: Array, size: tuple[int, int]) -> tuple[Array, Array]:
        """Return where each output position starts, in tiles, and each tap's distance from there, in steps."""
        if image.shape not in self.places:
            conv, (_, height, width, channels) = self.layer.conv, image.shape
            n, y, x = np.meshgrid(*(np.arange(count) for count in (len(image), *size)), indexing="ij")
            starts = ((n * height + y * conv.stride[0]) * width + x * conv.stride[1]) * channels
            c, fy, fx = np.meshgrid(*(np.arange(count) for count in self.layer.weight.shape[1:]), indexing="ij")
            taps = ((fy * conv.dilation[0] * width + fx * conv.dilation[1]) * channels + c).reshape(-1)
            steps = -(-taps.size // self.taps)
            filled = np.pad(taps, (0, steps * self.taps - taps.size)).reshape(steps, self.taps)
            tiles = -(-starts.size // self.pixels)
            self.places[image.shape] = np.resize(starts, (tiles, self.pixels)), filled
        return self.places[image.shape]


def _columns(entries: Array, taps: int) -> Array:
    """Return stored products (activation codes, weight codes) filled up to what a tap takes of a register."""
    columns = np.zeros((len(entries), lanes.CODES if taps > 1 else 64 // entries.itemsize), dtype=entries.dtype)
    columns[:, : entries.shape[1]] = entries
    return columns


def _ones(terms: int, taps: int) -> tuple[int, int]:
    """Return 32 bits with a one for each tap, in every step but the last, and in the last."""
    step, last = (sum(1 << 32 // taps * tap for tap in range(count)) for count in (taps, terms % taps or taps))
    return step, last


def _pack(weight: IntArray, taps: int) -> Array:
    """Return codes (K, C, FY, FX) as uint8 (blocks, steps, WIDTH * taps), filled up with the code 0."""
    codes = weight.reshape(len(weight), -1)
    blocks, steps = -(-len(codes) // lanes.WIDTH), -(-codes.shape[1] // taps)
    full = blocks * lanes.WIDTH, steps * taps
    padded = np.pad(codes, [(0, more - size) for more, size in zip(full, codes.shape, strict=True)])
    entries = padded.reshape(blocks, lanes.WIDTH, steps, taps) + np.arange(taps) * lanes.CODES
    return np.ascontiguousarray(entries.transpose(0, 2, 1, 3).reshape(blocks, steps, -1), dtype=np.uint8)
