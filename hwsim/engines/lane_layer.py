"""A layer whose output channels fill the lanes of vector registers (see `lanes`)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray
from hwsim.engines import lanes
from hwsim.engines.table_layer import MARK, MARK_BITS, TableLayer, unmark
from hwsim.engines.threads import share_out
from hwsim.nodes import Matmul, Pair

Array = NDArray[Any]

LEAST_CHANNELS = 16  #: Fewer output channels per group would leave most lanes empty.
MOST_CLIPPED_BITS = 13  #: A register up to which any product, and the marking bits, can be clipped in 16-bit lanes.


@dataclass(frozen=True)
class LanePlan:
    """Which kernel: the types of the table's entries and of the sums, and what is stored in them.

    shift: how far products are shifted up; the bits below remember clipping if they are at least MARK_BITS.
    bias: what is taken off every product, and added for each tap at the start.
    ends: where each sum is clipped, None for the ends of the type or if none gets there.
    marks: whether clipping is remembered apart. reason: what the path says.
    """

    entry: type[np.integer[Any]]
    sums: type[np.signedinteger[Any]]
    reason: str
    shift: int = 0
    bias: int = 0
    ends: Pair | None = None
    marks: bool = False

    @property
    def taps(self) -> int:
        """Taps of a step."""
        return np.dtype(self.sums).itemsize // np.dtype(self.entry).itemsize

    @property
    def pixels(self) -> int:
        """Output positions of a tile."""
        return lanes.PIXELS[8 * np.dtype(self.sums).itemsize]

    @property
    def mark_bits(self) -> int:
        """Bits below the register that remember clipping."""
        return self.shift if self.shift >= MARK_BITS else 0

    @property
    def ones(self) -> int:
        """32 bits, a one for each tap of a step."""
        return sum(1 << 32 // self.taps * tap for tap in range(self.taps))


def lane_plan(node: Matmul) -> LanePlan | None:
    """Return the kernel for a layer, or None if there is none for it or for this processor."""
    layer, multiplier = TableLayer(node), node.multiplier
    few = len(layer.weight) // layer.conv.groups < LEAST_CHANNELS
    if few or not lanes.available() or len(layer.table) > lanes.CODES or multiplier.activation.bits > 8:
        return None
    return _saturating_plan(layer) if layer.saturable else _exact_plan(layer)


def _exact_plan(layer: TableLayer) -> LanePlan | None:
    low, high = int(layer.table.min()), int(layer.table.max())
    if layer.largest_sum >= 1 << 31:
        return None
    if high - low < 1 << 8 and lanes.bytes_available():
        return LanePlan(np.uint8, np.int32, "8-bit lanes summed in 32 bits", bias=low)
    if high - low < 1 << 16:
        return LanePlan(np.int16, np.int32, "16-bit lanes summed in 32 bits", bias=low + (1 << 15))
    return LanePlan(np.int32, np.int32, "32-bit lanes")


def _saturating_plan(layer: TableLayer) -> LanePlan | None:
    bits, largest = layer.node.accumulator.bits, layer.largest_product
    if bits <= 16 and largest << 16 - bits < 1 << 15:
        marks = 16 - bits < MARK_BITS
        return LanePlan(np.int16, np.int16, "16-bit lanes, saturating additions", shift=16 - bits, marks=marks)
    if bits <= MOST_CLIPPED_BITS:
        reason = "16-bit lanes, clipped additions"
        return LanePlan(np.int16, np.int16, reason, shift=MARK_BITS, ends=layer.marked_ends)
    if max(layer.marked_ends) + (largest << MARK_BITS) >= 1 << 31:
        return None
    return LanePlan(np.int32, np.int32, "32-bit lanes, clipped additions", shift=MARK_BITS, ends=layer.marked_ends)


class LaneLayer:
    """A layer by vector permutes."""

    def __init__(self, node: Matmul, plan: LanePlan) -> None:
        self.layer, self.plan = TableLayer(node), plan
        self.path = f"vector permutes, {plan.reason}: {self.layer.summary}"
        self.wrap_bits = self.layer.wrap_bits
        self.table = _columns(self.layer.table, plan)
        terms = self.layer.weight[0].size
        self.start = int(np.int64(plan.bias * terms).astype(plan.sums)) if plan.bias else MARK if plan.mark_bits else 0
        self.ones = plan.ones, plan.ones & ((1 << 32 // plan.taps * (terms % plan.taps or plan.taps)) - 1)
        self.weights = [_pack(part, plan.taps) for part in np.split(self.layer.weight, self.layer.conv.groups)]
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
            rows = slice(tiles.start * self.plan.pixels, None), slice(blocks.start * lanes.WIDTH, None)
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
            steps = -(-taps.size // self.plan.taps)
            filled = np.pad(taps, (0, steps * self.plan.taps - taps.size)).reshape(steps, self.plan.taps)
            tiles = -(-starts.size // self.plan.pixels)
            self.places[image.shape] = np.resize(starts, (tiles, self.plan.pixels)), filled
        return self.places[image.shape]


def _columns(table: IntArray, plan: LanePlan) -> Array:
    """Return the products as the kernel reads them, (activation codes, entries of a column)."""
    products = (table.T << plan.shift) - plan.bias
    if plan.ends and plan.sums is np.int16:
        products = products.clip(-(1 << 15), (1 << 15) - 1)  # such a product takes any register to its end
    entries = lanes.CODES if plan.taps > 1 else 64 // np.dtype(plan.entry).itemsize
    columns = np.zeros((len(products), entries), dtype=plan.entry)
    columns[:, : products.shape[1]] = products
    return columns


def _pack(weight: IntArray, taps: int) -> Array:
    """Return codes (K, C, FY, FX) as uint8 (blocks, steps, WIDTH * taps), filled up with the code 0."""
    codes = weight.reshape(len(weight), -1)
    blocks, steps = -(-len(codes) // lanes.WIDTH), -(-codes.shape[1] // taps)
    full = blocks * lanes.WIDTH, steps * taps
    padded = np.pad(codes, [(0, more - size) for more, size in zip(full, codes.shape, strict=True)])
    entries = padded.reshape(blocks, lanes.WIDTH, steps, taps) + np.arange(taps) * lanes.CODES
    return np.ascontiguousarray(entries.transpose(0, 2, 1, 3).reshape(blocks, steps, -1), dtype=np.uint8)
