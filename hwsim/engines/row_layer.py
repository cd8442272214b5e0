"""A layer as rows of products that are added up (see `rows`): every table, every accumulator, every processor."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engines import rows
from hwsim.engines.table_layer import MARK, MARK_BITS, TableLayer, unmark
from hwsim.engines.threads import share_out
from hwsim.nodes import Matmul

Array = NDArray[Any]

MAX_TABLE_BITS = 16
TARGET_POSITIONS = 4096  #: Images are taken together until a row has about this many positions.
TARGET_BYTES = 1 << 19  #: Rows are built for so many channels at a time that they stay in the cache.


def rows_fit(node: Matmul) -> bool:
    """Return whether the layer's table is small, and its sums, or its register with the marking bits, fit 32 bits."""
    layer, multiplier = TableLayer(node), node.multiplier
    if multiplier.weight.code_bits + multiplier.activation.bits > MAX_TABLE_BITS:
        return False
    if layer.saturable:
        return max(layer.marked_ends) + (layer.largest_product << MARK_BITS) < 1 << 31
    return layer.largest_sum < 1 << 31


class RowLayer:
    """A layer by rows of products."""

    def __init__(self, node: Matmul) -> None:
        self.layer = layer = TableLayer(node)
        self.path = f"rows of products: {layer.summary}"
        self.wrap_bits = layer.wrap_bits
        self.mark_bits = MARK_BITS if layer.saturable else 0
        table = layer.table << self.mark_bits
        fits = table.min() >= -(1 << 15) and table.max() < 1 << 15
        self.table = table.astype(np.int16 if fits else np.int32)
        self.ends = layer.marked_ends if layer.saturable else None
        weight = layer.weight.astype(np.uint16).reshape(*layer.weight.shape[:2], -1)  # (K, C/groups, taps)
        self.weights = np.split(weight, layer.conv.groups)

    def __call__(self, codes: Array) -> tuple[Array, int]:
        """Return the sums or registers, and how many were clipped."""
        shaped = codes if codes.ndim == 4 else codes[:, None, None, :]
        image, size = self.layer.padded(shaped), self.layer.size(shaped)
        sums = np.empty((len(codes), *size, len(self.layer.weight)), dtype=np.int32)
        together, clipped = max(1, TARGET_POSITIONS // (image.shape[1] * image.shape[2])), 0
        for first in range(0, len(codes), together):
            part = slice(first, first + together)
            clipped += self._add_images(image[part], sums[part])
        return (sums if codes.ndim == 4 else sums[:, 0, 0]), clipped

    def _add_images(self, image: Array, sums: Array) -> int:
        groups = self.layer.conv.groups
        depth, kernels, clipped = image.shape[3] // groups, sums.shape[3] // groups, 0
        for g, weight in enumerate(self.weights):
            outputs = slice(g * kernels, (g + 1) * kernels)
            clipped += self._add_group(image[..., g * depth : (g + 1) * depth], weight, sums[..., outputs])
        return clipped

    def _add_group(self, image: Array, weight: Array, sums: Array) -> int:
        grid = _PhaseGrid(self.layer, image)
        planes = np.zeros((image.shape[3], *grid.shape), dtype=image.dtype)
        rows.split_phases(image, 0, image.shape[3], self.layer.conv.stride, planes)
        total = np.full((len(weight), grid.positions(sums)), MARK if self.mark_bits else 0, dtype=np.int32)
        share_out(
            lambda first, last: self._add_channels(planes, grid, weight[first:last], total[first:last]),
            len(weight),
            total.size * weight[0].size,
        )
        spread = np.zeros((len(weight), *grid.shape[2:]), dtype=np.int32).reshape(len(weight), -1)
        spread[:, : total.shape[1]] = total
        images = spread.reshape(len(weight), *grid.shape[2:])[:, :, : sums.shape[1], : sums.shape[2]]
        registers = np.ascontiguousarray(images.transpose(1, 2, 3, 0))
        flat = registers.reshape(-1, len(weight))
        clipped = unmark(flat, self.mark_bits, flat) if self.mark_bits else 0
        sums[:] = registers
        return clipped

    def _add_channels(self, planes: Array, grid: "_PhaseGrid", weight: Array, total: Array) -> None:
        flat = planes.reshape(len(planes), -1)
        codes, length, taps = len(self.table), flat.shape[1], weight.shape[2]
        together = max(1, min(len(flat), TARGET_BYTES // (codes * length * self.table.itemsize)))
        products = np.empty((together, codes, length), dtype=self.table.dtype)
        starts = (np.arange(together)[:, None] * codes * length + grid.starts).reshape(-1)
        for first in range(0, len(flat), together):
            part = flat[first : first + together]
            rows.build_rows(part, self.table, products)
            named = np.ascontiguousarray(weight[:, first : first + together].reshape(len(weight), -1))
            rows.add_rows(products, named, starts[: len(part) * taps], total, self.ends)


class _PhaseGrid:
    """Where a tap finds its codes, once images are split so that a stride becomes a step of one.

    shape: (SY, SX, N, HQ, WQ). starts: per tap, its first code in that array.
    """

    def __init__(self, layer: TableLayer, image: Array) -> None:
        conv, (n, height, width, _) = layer.conv, image.shape
        (sy, sx), (fy, fx) = conv.stride, layer.weight.shape[2:]
        self.shape = (sy, sx, n, -(-height // sy), -(-width // sx))
        y = np.arange(fy)[:, None] * conv.dilation[0]
        x = np.arange(fx)[None, :] * conv.dilation[1]
        phase = (y % sy) * sx + x % sx
        self.starts = (phase * n * self.shape[3] * self.shape[4] + (y // sy) * self.shape[4] + x // sx).reshape(-1)

    def positions(self, sums: Array) -> int:
        """Return how many positions lie between the first and the last output, (N, OY, OX, K)."""
        n, rows_out, columns_out, _ = sums.shape
        return int(((n - 1) * self.shape[3] + rows_out - 1) * self.shape[4] + columns_out)
