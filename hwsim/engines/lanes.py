"""Products of any table by vector permutes: output channels in the lanes of a register (AVX-512).

A column of the product table, T[:, a] for one activation code a, fits one 64-byte register: 16 entries of 32 bits or 32
of 16. A permutation of it by the weight codes of 16 or 32 output channels is those channels' products. They are added
tap by tap, in the accumulator's order.

A saturating addition clips at the ends of the lane, so products are scaled by 2^s until the accumulator's range is the
lane's (16 bits), or are clipped there (32 bits). The s bits below the register remember clipping for free: they start
as 1, a clip at the top leaves them all ones, one at the bottom all zeros, and no addition changes them (s >= 2).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from hwsim.engines.jit import kernel

Array = NDArray[Any]

PIXELS = 7  #: Output positions of a tile: 14 accumulators, and a divisor of many image widths.
VECTORS = 2  #: Registers of output channels of a tile.


def available() -> bool:
    """Return whether this processor has the permutes."""
    features = binding.get_host_cpu_features()
    return bool(features.get("avx512f") and features.get("avx512bw"))


def _tile(lane_bits: int, combine: Callable[..., Any]) -> Any:
    """Return a numba intrinsic that adds the products of all taps to a tile of accumulators.

    Its arguments are addresses and integers: image (codes, uint8), offsets (int64 per pixel), taps (int64 offset per
    tap), count of taps, weights (uint8, lanes x VECTORS per tap), table (one column per activation code), out (row of
    accumulators per pixel), pitch (accumulators from one row to the next), low and high (the ends for clipping).
    """

    @intrinsic
    def tile(context, image, offsets, taps, count, weights, table, out, pitch, low, high):  # type: ignore[no-untyped-def]
        def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
            _TileBuilder(builder, lane_bits, combine, arguments).build()
            return target.get_dummy_value()

        return types.void(*[types.intp] * 10), generate

    return tile


class _TileBuilder:
    """Writes the loop over the taps in LLVM's language."""

    def __init__(self, builder: Any, lane_bits: int, combine: Callable[..., Any], arguments: Any) -> None:
        self.builder, self.combine = builder, combine
        self.image, self.offsets, self.taps, self.count, self.weights = arguments[:5]
        self.table, self.out, self.pitch, *ends = arguments[5:]
        self.lanes, self.lane_bytes = 512 // lane_bits, lane_bits // 8
        self.vector = ir.VectorType(ir.IntType(lane_bits), self.lanes)
        name = {16: "llvm.x86.avx512.permvar.hi.512", 32: "llvm.x86.avx512.permvar.si.512"}[lane_bits]
        signature = ir.FunctionType(self.vector, [self.vector, self.vector])
        self.permute = _function(builder, signature, name)
        self.ends = [self._splat(builder.trunc(end, ir.IntType(lane_bits))) for end in ends]

    def build(self) -> None:
        """Load the accumulators, add every tap's products, and store them."""
        pixels = [self._load(self.offsets, ir.IntType(64), 8 * p) for p in range(PIXELS)]
        starts = [self.builder.add(self.image, offset) for offset in pixels]
        registers = {(p, v): self._accumulator(p, v) for p in range(PIXELS) for v in range(VECTORS)}
        with cgutils.for_range(self.builder, self.count) as loop:
            offset = self._load(self.builder.add(self.taps, self._times(loop.index, 8)), ir.IntType(64), 0)
            row = self.builder.add(self.weights, self._times(loop.index, self.lanes * VECTORS))
            indices = [self._weight_codes(row, v) for v in range(VECTORS)]
            for p in range(PIXELS):
                column = self._column(self.builder.add(starts[p], offset))
                for v in range(VECTORS):
                    self._add(registers[p, v], self.builder.call(self.permute, [column, indices[v]]))
        for (p, v), register in registers.items():
            self.builder.store(self.builder.load(register), self._out(p, v), align=1)

    def _accumulator(self, pixel: int, vector: int) -> Any:
        register: Any = cgutils.alloca_once(self.builder, self.vector)  # type: ignore[no-untyped-call]
        self.builder.store(self.builder.load(self._out(pixel, vector), align=1), register)
        return register

    def _out(self, pixel: int, vector: int) -> Any:
        row = self.builder.add(self.out, self._times(self.pitch, pixel * self.lane_bytes))
        return self._pointer(row, self.vector, vector * 64)

    def _weight_codes(self, row: Any, vector: int) -> Any:
        narrow = ir.VectorType(ir.IntType(8), self.lanes)
        return self.builder.zext(self._load(row, narrow, vector * self.lanes), self.vector)

    def _column(self, address: Any) -> Any:
        code = self.builder.zext(self._load(address, ir.IntType(8), 0), ir.IntType(64))
        return self._load(self.builder.add(self.table, self._times(code, 64)), self.vector, 0)

    def _add(self, register: Any, products: Any) -> None:
        total = self.combine(self.builder, self.builder.load(register), products, *self.ends)
        self.builder.store(total, register)

    def _times(self, value: Any, factor: int) -> Any:
        return self.builder.mul(value, ir.Constant(ir.IntType(64), factor))

    def _pointer(self, address: Any, kind: Any, offset: int) -> Any:
        shifted = self.builder.add(address, ir.Constant(ir.IntType(64), offset))
        return self.builder.inttoptr(shifted, kind.as_pointer())

    def _load(self, address: Any, kind: Any, offset: int) -> Any:
        return self.builder.load(self._pointer(address, kind, offset), align=1)

    def _splat(self, value: Any) -> Any:
        one = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, one, mask)


def _function(builder: Any, signature: Any, name: str) -> Any:
    return cgutils.get_or_insert_function(builder.module, signature, name)  # type: ignore[no-untyped-call]


def _sum(builder: Any, total: Any, products: Any, low: Any, high: Any) -> Any:
    return builder.add(total, products)


def _saturating_sum(builder: Any, total: Any, products: Any, low: Any, high: Any) -> Any:
    signature = ir.FunctionType(total.type, [total.type, total.type])
    function = _function(builder, signature, f"llvm.sadd.sat.v{total.type.count}i16")
    return builder.call(function, [total, products])


def _clipped_sum(builder: Any, total: Any, products: Any, low: Any, high: Any) -> Any:
    exact = builder.add(total, products)
    floored = builder.select(builder.icmp_signed("<", exact, low), low, exact)
    return builder.select(builder.icmp_signed(">", floored, high), high, floored)


_tile_wide_sum = _tile(32, _sum)
_tile_wide_clip = _tile(32, _clipped_sum)
_tile_narrow_sum = _tile(16, _sum)
_tile_narrow_saturate = _tile(16, _saturating_sum)


@kernel
def wide_sums(image: Array, offsets: Array, taps: Array, weights: Array, table: Array, out: Array) -> None:
    """Add all products in 32-bit lanes.

    image: uint8 codes; offsets: (tiles, PIXELS) and taps: (taps,), int64, of each position's first code and from there
    to each tap's; weights: uint8 (blocks, taps, VECTORS * lanes); table: int32 (activation codes, lanes); out: int32
    (tiles * PIXELS, blocks * VECTORS * lanes), which holds the start values.
    """
    for block in range(weights.shape[0]):
        for tile in range(offsets.shape[0]):
            first = out[tile * PIXELS :, block * weights.shape[2] :]
            _tile_wide_sum(
                image.ctypes.data, offsets[tile].ctypes.data, taps.ctypes.data, taps.size, weights[block].ctypes.data,
                table.ctypes.data, first.ctypes.data, out.strides[0] // out.itemsize, 0, 0,
            )  # fmt: skip


@kernel
def wide_clipped_sums(
    image: Array, offsets: Array, taps: Array, weights: Array, table: Array, out: Array, low: int, high: int
) -> None:
    """Add all products in 32-bit lanes, each sum clipped to low .. high; arguments as `wide_sums`."""
    for block in range(weights.shape[0]):
        for tile in range(offsets.shape[0]):
            first = out[tile * PIXELS :, block * weights.shape[2] :]
            _tile_wide_clip(
                image.ctypes.data, offsets[tile].ctypes.data, taps.ctypes.data, taps.size, weights[block].ctypes.data,
                table.ctypes.data, first.ctypes.data, out.strides[0] // out.itemsize, low, high,
            )  # fmt: skip


@kernel
def narrow_saturating_sums(image: Array, offsets: Array, taps: Array, weights: Array, table: Array, out: Array) -> None:
    """Add all products in 16-bit lanes by saturating additions; arguments as `wide_sums`, table and out int16."""
    for block in range(weights.shape[0]):
        for tile in range(offsets.shape[0]):
            first = out[tile * PIXELS :, block * weights.shape[2] :]
            _tile_narrow_saturate(
                image.ctypes.data, offsets[tile].ctypes.data, taps.ctypes.data, taps.size, weights[block].ctypes.data,
                table.ctypes.data, first.ctypes.data, out.strides[0] // out.itemsize, 0, 0,
            )  # fmt: skip


@kernel
def narrow_sums(image: Array, offsets: Array, taps: Array, weights: Array, table: Array, out: Array, most: int) -> None:
    """Add all products in 16-bit lanes, `most` taps at a time, and those sums in 32 bits; out: int32, added to."""
    width = weights.shape[2]
    part = np.empty((PIXELS, width), dtype=np.int16)
    for block in range(weights.shape[0]):
        for tile in range(offsets.shape[0]):
            for first in range(0, taps.size, most):
                count = min(most, taps.size - first)
                part[:] = 0
                _tile_narrow_sum(
                    image.ctypes.data, offsets[tile].ctypes.data, taps[first:].ctypes.data, count,
                    weights[block, first:].ctypes.data, table.ctypes.data, part.ctypes.data, width, 0, 0,
                )  # fmt: skip
                for p in range(PIXELS):
                    for lane in range(width):
                        out[tile * PIXELS + p, block * width + lane] += part[p, lane]
