"""Products of any table by vector permutes: output channels in the lanes of a register (AVX-512).

A column of the product table, T[:, a] for one activation code a, has 16 entries. A permutation of it by the weight
codes of 16 or 32 output channels is those channels' products. What is done with them follows from the types:

* entries of 8 or 16 bits, sums of 32: one register holds the columns of 4 or 2 taps, its lanes are permuted by codes of
  4 or 2 taps side by side, and a dot product with ones adds them up. Sums are exact in any order.
* entries as wide as the sums: one tap at a time, in the accumulator's order, by plain additions (32 bits), saturating
  ones (16 bits), or additions that are clipped to `ends`.

A saturating addition clips at the ends of the lane, so products are scaled by 2^s until the accumulator's range is the
lane's, or are clipped. The s bits below the register remember clipping for free: they start as 1, a clip at the top
leaves them all ones, one at the bottom all zeros, and no addition changes them (s >= 2). Where s < 2, `marks` remember:
each collects the bits in which the saturating sum and the wrapped one differ.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from hwsim.engines import vector_code
from hwsim.engines.jit import kernel_from
from hwsim.engines.vector_code import WORD, VectorCode, is_none

Array = NDArray[Any]

CODES = 16  #: Entries of a column: weights of at most 4 bits.
WIDTH = 64  #: Output channels of a tile.
PIXELS = {16: 7, 32: 6}  #: Output positions of a tile, by the bits of its sums: as many as the registers hold.


def available() -> bool:
    """Return whether this processor has the permutes of 16- and 32-bit entries."""
    return {"avx512f", "avx512bw"} <= vector_code.processor_features()


def bytes_available() -> bool:
    """Return whether it also has the permutes and the dot products of 8-bit entries."""
    return {"avx512vbmi", "avx512vnni"} <= vector_code.processor_features()


def _typed_tile(context, image, offsets, taps, weights, table, ones, out, marks, ends, row, column):  # type: ignore[no-untyped-def]
    """Add the products of all taps to the tile at a row and a column of the sums; arguments as `add_products`."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        _TileCode(target, builder, signature.args, arguments).write()
        return target.get_dummy_value()

    return types.void(image, offsets, taps, weights, table, ones, out, marks, ends, row, column), generate


_tile: Any = intrinsic(_typed_tile)


class _TileCode(VectorCode):
    """Writes the loop over the taps."""

    def __init__(self, context: Any, builder: Any, kinds: Any, arguments: Any) -> None:
        super().__init__(context, builder)
        image, offsets, taps, weights, table, _, out, marks, ends, *_ = zip(kinds, arguments, strict=True)
        self.image, self.taps, self.weights, self.table = (self.address(*a) for a in (image, taps, weights, table))
        self.steps = self.builder.extract_value(self.array(*weights).shape, 0)
        self.entry_bits, self.sum_bits = table[0].dtype.bitwidth, out[0].dtype.bitwidth
        self.entries = ir.VectorType(ir.IntType(self.entry_bits), 512 // self.entry_bits)
        self.sums = ir.VectorType(ir.IntType(self.sum_bits), 512 // self.sum_bits)
        self.taps_per_step = self.sum_bits // self.entry_bits
        tiles = range(PIXELS[self.sum_bits]), range(WIDTH * self.sum_bits // 512)
        self.places = [(p, v) for p in tiles[0] for v in tiles[1]]
        self.pixels, self.vectors = tiles
        self.starts = [builder.add(self.image, self.load(self.address(*offsets), WORD, 8 * p)) for p in self.pixels]
        self.ones = self.splat(arguments[5], ir.VectorType(ir.IntType(32), 16))
        self.row, self.column = arguments[-2:]
        self.stored = [array for array in (out, marks) if not is_none(array[0])]
        self.ends = (
            [] if is_none(ends[0]) else [self.splat(builder.extract_value(ends[1], i), self.sums) for i in (0, 1)]
        )

    def write(self) -> None:
        """Load the sums, add every tap's products, and store them."""
        registers = {place: [self.register(self._load_sums(a, *place)) for a in self.stored] for place in self.places}
        with cgutils.for_range(self.builder, self.steps) as loop:
            codes = [self._weight_codes(loop.index, v) for v in self.vectors]
            for p in self.pixels:
                self.fence()
                columns = self._columns(self.starts[p], loop.index)
                for v in self.vectors:
                    self._add(registers[p, v], self._permuted(columns, codes[v]))
        for place, variables in registers.items():
            for array, variable in zip(self.stored, variables, strict=True):
                self.store(self.builder.load(variable), *self._place(array, *place))

    def _load_sums(self, array: Any, pixel: int, vector: int) -> Any:
        address, offset = self._place(array, pixel, vector)
        return self.load(address, self.sums, offset)

    def _place(self, array: Any, pixel: int, vector: int) -> tuple[Any, int]:
        pitch = self.builder.extract_value(self.array(*array).strides, 0)
        row = self.builder.mul(pitch, self.builder.add(self.row, ir.Constant(WORD, pixel)))
        first = self.moved(self.address(*array), self.column, self.sum_bits // 8)
        return self.builder.add(first, row), 64 * vector

    def _weight_codes(self, step: Any, vector: int) -> Any:
        """Return the codes of a register's channels and taps: each is its entry's number in the register of columns."""
        row = self.moved(self.weights, step, self.entries.count * len(self.vectors))
        codes = self.load(row, ir.VectorType(ir.IntType(8), self.entries.count), self.entries.count * vector)
        return codes if self.entry_bits == 8 else self.builder.zext(codes, self.entries)

    def _columns(self, start: Any, step: Any) -> Any:
        """Return a register of the columns that a pixel's codes name at the step's taps."""
        taps = self.moved(self.taps, step, 8 * self.taps_per_step)
        kind = ir.VectorType(self.entries.element, self.entries.count // self.taps_per_step)
        columns = []
        for tap in range(self.taps_per_step):
            code = self.load_index(self.builder.add(start, self.load(taps, WORD, 8 * tap)), 8)
            columns.append(self.load(self.moved(self.table, code, kind.count * self.entry_bits // 8), kind))
        while len(columns) > 1:
            columns = [self.joined(*pair) for pair in zip(columns[::2], columns[1::2], strict=True)]
        return columns[0]

    def _permuted(self, column: Any, codes: Any) -> Any:
        name = {8: "qi", 16: "hi", 32: "si"}[self.entry_bits]
        return self.call(f"llvm.x86.avx512.permvar.{name}.512", self.entries, column, codes)

    def _add(self, variables: list[Any], products: Any) -> None:
        total = self.builder.load(variables[0])
        if self.taps_per_step == 1:
            self.add(variables, total, products, self.ends)
        else:
            self.builder.store(self._dot_product(total, products), variables[0])

    def _dot_product(self, total: Any, products: Any) -> Any:
        """Return the total and the sum of each channel's products; LLVM joins the latter two instructions if it can."""
        if self.taps_per_step == 4:
            four = self.builder.bitcast(products, self.sums)
            return self.call("llvm.x86.avx512.vpdpbusd.512", self.sums, total, four, self.ones)
        ones = self.builder.bitcast(self.ones, self.entries)
        return self.builder.add(total, self.call("llvm.x86.avx512.pmaddw.d.512", self.sums, products, ones))


@kernel_from("vector_code")
def add_products(
    image: Array,
    offsets: Array,
    taps: Array,
    weights: Array,
    table: Array,
    ones: tuple[int, int],
    out: Array,
    marks: Array | None,
    ends: tuple[int, int] | None,
) -> None:
    """Add the products of all taps.

    Args:
        image: uint8 codes.
        offsets: int64 (tiles, PIXELS), where each output position's first code is.
        taps: int64 (steps, taps), how far each tap's code is from there.
        weights: uint8 (blocks, steps, WIDTH * taps), by channel, then tap; those of tap t of a step are t * CODES more.
        table: uint8, int16 or int32 (activation codes, CODES), or, where a step is one tap, as wide as a register.
        ones: the factors of a step's products, bytes or half-words of 32 bits: in all steps but the last, and there.
        out: int32 or int16 (tiles * PIXELS, blocks * WIDTH), which holds the start values.
        marks: zeros like out, or None.
        ends: where each sum is clipped, or None.
    """
    pixels, last = offsets.shape[1], taps.shape[0] - 1
    for block in range(weights.shape[0]):
        for tile in range(offsets.shape[0]):
            for part in range(2):
                steps = slice(0, last) if part == 0 else slice(last, last + 1)
                _tile(
                    image, offsets[tile], taps[steps], weights[block, steps], table, ones[part], out, marks, ends,
                    tile * pixels, block * WIDTH,
                )  # fmt: skip
