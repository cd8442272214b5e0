"""A layer whose output channels fill the lanes of vector registers (see `lanes`)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray
from hwsim.engines import lanes
from hwsim.engines.table_layer import MARK, MARK_BITS, TableLayer, unmark
from hwsim.engines.threads import share_out
from hwsim.nodes import Matmul

Array = NDArray[Any]

LEAST_CHANNELS = 16  #: Fewer output channels per group would leave most lanes empty.
LEAST_TAPS = 24  #: Fewer 16-bit additions between two 32-bit ones would not pay.


@dataclass(frozen=True)
class LanePlan:
    """Which kernel: lanes of 16 or 32 bits; how far products are shifted up, 0 for exact sums; what the path says."""

    lane_bits: int
    mark_bits: int
    reason: str

    @property
    def width(self) -> int:
        """Output channels of a tile."""
        return lanes.VECTORS * 512 // self.lane_bits


def lane_plan(node: Matmul) -> LanePlan | None:
    """Return the kernel for a layer, or None if there is none for it or for this processor."""
    layer, multiplier = TableLayer(node), node.multiplier
    wide = len(layer.weight) // layer.conv.groups < LEAST_CHANNELS
    if wide or not lanes.available() or multiplier.weight.code_bits > 4 or multiplier.activation.bits > 8:
        return None
    return _saturating_plan(layer) if layer.saturable else _exact_plan(layer)


def _exact_plan(layer: TableLayer) -> LanePlan | None:
    if layer.largest_product * LEAST_TAPS < 1 << 15:
        return LanePlan(16, 0, "16-bit lanes summed in 32 bits")
    return LanePlan(32, 0, "32-bit lanes") if layer.largest_sum < 1 << 31 else None


def _saturating_plan(layer: TableLayer) -> LanePlan | None:
    shift = 16 - layer.node.accumulator.bits
    if shift >= MARK_BITS and layer.largest_product << shift < 1 << 15:
        return LanePlan(16, shift, "16-bit lanes, saturating additions")
    fits = max(layer.marked_ends) + (layer.largest_product << MARK_BITS) < 1 << 31
    return LanePlan(32, MARK_BITS, "32-bit lanes, clipped additions") if fits else None


class LaneLayer:
    """A layer by vector permutes."""

    def __init__(self, node: Matmul, plan: LanePlan) -> None:
        self.layer, self.plan = TableLayer(node), plan
        self.path = f"vector permutes, {plan.reason}: {self.layer.summary}"
        self.wrap_bits = self.layer.wrap_bits
        self.type = {16: np.int16, 32: np.int32}[plan.lane_bits]
        self.table = np.zeros((self.layer.table.shape[1], 512 // plan.lane_bits), dtype=self.type)
        self.table[:, : len(self.layer.table)] = self.layer.table.T << plan.mark_bits
        groups = self.layer.conv.groups
        self.weights = [_pack(part, plan.width) for part in np.split(self.layer.weight, groups)]
        self.places: dict[tuple[int, ...], tuple[Array, Array]] = {}

    def __call__(self, codes: Array) -> tuple[Array, int]:
        """Return the sums or registers, and how many were clipped."""
        shaped = codes if codes.ndim == 4 else codes[:, None, None, :]
        image, size = self.layer.padded(shaped.astype(np.uint8, copy=False)), self.layer.size(shaped)
        sums = np.empty((len(codes) * size[0] * size[1], len(self.layer.weight)), dtype=np.int32)
        groups = self.layer.conv.groups
        depth, kernels, clipped = image.shape[3] // groups, sums.shape[1] // groups, 0
        for g, weights in enumerate(self.weights):
            part = sums[:, g * kernels : (g + 1) * kernels]
            clipped += self._add_group(image.reshape(-1)[g * depth :], self._places(image, size), weights, part)
        return (sums.reshape(len(codes), *size, -1) if codes.ndim == 4 else sums), clipped

    def _add_group(self, image: Array, places: tuple[Array, Array], weights: Array, sums: Array) -> int:
        offsets, taps = places
        exact = not self.plan.mark_bits
        shape = (offsets.size, len(weights) * self.plan.width)
        out = np.full(shape, 0 if exact else MARK, dtype=np.int32 if exact else self.type)

        def work(tiles: slice, blocks: slice) -> None:
            part = out[tiles.start * lanes.PIXELS :, blocks.start * self.plan.width :]
            self._run(image, offsets[tiles], taps, weights[blocks], part)

        products = out.size * len(taps)
        if len(offsets) >= 8 * len(weights):
            share_out(lambda first, last: work(slice(first, last), slice(0, None)), len(offsets), products)
        else:
            share_out(lambda first, last: work(slice(0, None), slice(first, last)), len(weights), products)
        if exact:
            sums[:] = out[: len(sums), : sums.shape[1]]
            return 0
        return unmark(out[: len(sums), : sums.shape[1]], self.plan.mark_bits, sums)

    def _run(self, image: Array, offsets: Array, taps: Array, weights: Array, out: Array) -> None:
        arguments = (image, offsets, taps, weights, self.table, out)
        match self.plan.lane_bits, bool(self.plan.mark_bits):
            case 16, True:
                lanes.narrow_saturating_sums(*arguments)
            case 16, False:
                lanes.narrow_sums(*arguments, ((1 << 15) - 1) // max(self.layer.largest_product, 1))
            case 32, True:
                lanes.wide_clipped_sums(*arguments, *self.layer.marked_ends)
            case _:
                lanes.wide_sums(*arguments)

    def _places(self, image: Array, size: tuple[int, int]) -> tuple[Array, Array]:
        """Return where each output position starts, in tiles, and each tap's distance from there, in codes."""
        if image.shape not in self.places:
            conv, (_, height, width, channels) = self.layer.conv, image.shape
            n, y, x = np.meshgrid(*(np.arange(count) for count in (len(image), *size)), indexing="ij")
            starts = ((n * height + y * conv.stride[0]) * width + x * conv.stride[1]) * channels
            c, fy, fx = np.meshgrid(*(np.arange(count) for count in self.layer.weight.shape[1:]), indexing="ij")
            taps = (fy * conv.dilation[0] * width + fx * conv.dilation[1]) * channels + c
            tiles = -(-starts.size // lanes.PIXELS)
            self.places[image.shape] = np.resize(starts, (tiles, lanes.PIXELS)), taps.reshape(-1)
        return self.places[image.shape]


def _pack(weight: IntArray, width: int) -> Array:
    """Return codes (K, C, FY, FX) as uint8 (blocks, taps, width), filled up with the code 0."""
    codes = weight.reshape(len(weight), -1).T  # (taps, K)
    blocks = -(-codes.shape[1] // width)
    padded = np.pad(codes, ((0, 0), (0, blocks * width - codes.shape[1])))
    return np.ascontiguousarray(padded.reshape(len(codes), blocks, width).transpose(1, 0, 2).astype(np.uint8))
