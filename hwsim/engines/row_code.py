"""The inner loops of `rows` in LLVM's language, which makes of vectors what the processor has."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from hwsim.engines.vector_code import WORD, VectorCode, is_none

BLOCK = 64  #: Positions whose sums stay in registers.


def _typed_block(context, rows, starts, weights, length, sums, marks, channel, first, ends, parts):  # type: ignore[no-untyped-def]
    """Add the rows that a channel's weights name to a block of its sums, from a position on.

    parts: None if rows are added to the sums at once, else they are first summed in 16 bits.
    """

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        _BlockCode(target, builder, signature.args, arguments).write()
        return target.get_dummy_value()

    return types.void(rows, starts, weights, length, sums, marks, channel, first, ends, parts), generate


add_block: Any = intrinsic(_typed_block)


class _BlockCode(VectorCode):
    """Writes the loop over the taps."""

    def __init__(self, context: Any, builder: Any, kinds: Any, arguments: Any) -> None:
        super().__init__(context, builder)
        rows, starts, weights, _, sums, marks, _, _, ends, parts = zip(kinds, arguments, strict=True)
        self.length, self.channel, self.first = arguments[3], arguments[6], arguments[7]
        self.row_bits, self.code_bits, bits = (a[0].dtype.bitwidth for a in (rows, weights, sums))
        self.row = ir.VectorType(ir.IntType(self.row_bits), BLOCK)
        self.sums, self.in_parts = ir.VectorType(ir.IntType(bits), BLOCK), not is_none(parts[0])
        self.rows, self.starts = self.moved(self.address(*rows), self.first, self.row_bits // 8), self.address(*starts)
        self.count = builder.extract_value(self.array(*starts).shape, 0)
        self.weights = builder.add(self.address(*weights), self._line(weights))
        self.places = [
            self.moved(builder.add(self.address(*array), self._line(array)), self.first, bits // 8)
            for array in (sums, marks)
            if not is_none(array[0])
        ]
        self.ends = (
            [] if is_none(ends[0]) else [self.splat(builder.extract_value(ends[1], i), self.sums) for i in (0, 1)]
        )

    def write(self) -> None:
        """Load the sums, add every tap's row, and store them."""
        zeros = ir.Constant(self.row, [0] * BLOCK)
        starts = [zeros] if self.in_parts else [self.load(place, self.sums) for place in self.places]
        variables = [self.register(start) for start in starts]
        with cgutils.for_range(self.builder, self.count) as loop:
            code = self.load_index(self.moved(self.weights, loop.index, self.code_bits // 8), self.code_bits)
            start = self.load(self.moved(self.starts, loop.index, 8), WORD)
            place = self.builder.add(start, self.builder.mul(code, self.length))
            self._add(variables, self.load(self.moved(self.rows, place, self.row_bits // 8), self.row))
        totals = [self.builder.load(variable) for variable in variables]
        if self.in_parts:
            totals = [self.builder.add(self.load(self.places[0], self.sums), self.builder.sext(totals[0], self.sums))]
        for total, place in zip(totals, self.places, strict=True):
            self.store(total, place)

    def _line(self, array: Any) -> Any:
        return self.builder.mul(self.channel, self.builder.extract_value(self.array(*array).strides, 0))

    def _add(self, variables: list[Any], row: Any) -> None:
        total = self.builder.load(variables[0])
        wide = row if row.type == total.type else self.builder.sext(row, total.type)
        self.add(variables, total, wide, self.ends)


def _typed_products(context, codes, table, code, rows):  # type: ignore[no-untyped-def]
    """Write a weight code's row, its products by codes (uint8, a multiple of 64), from the bytes of the table."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        _ProductsCode(target, builder, signature.args, arguments).write()
        return target.get_dummy_value()

    return types.void(codes, table, code, rows), generate


write_products: Any = intrinsic(_typed_products)


class _ProductsCode(VectorCode):
    """Writes the loop over the positions: the low and the high bytes of 64 products by permutes (AVX-512 VBMI)."""

    def __init__(self, context: Any, builder: Any, kinds: Any, arguments: Any) -> None:
        super().__init__(context, builder)
        codes, table, _, rows = zip(kinds, arguments, strict=True)
        self.bytes = ir.VectorType(ir.IntType(8), 64)
        self.codes, line, self.rows = self.address(*codes), self.array(*table).strides, self.address(*rows)
        self.blocks = builder.udiv(builder.extract_value(self.array(*codes).shape, 0), ir.Constant(WORD, 64))
        pitch = builder.mul(arguments[2], builder.extract_value(line, 0))
        self.table, self.plane = builder.add(self.address(*table), pitch), builder.extract_value(line, 1)
        self.rows = builder.add(
            self.rows, builder.mul(arguments[2], builder.extract_value(self.array(*rows).strides, 0))
        )

    def write(self) -> None:
        """Load the table's line, and permute it by the codes."""
        planes = [self._plane(0), self._plane(1)]
        with cgutils.for_range(self.builder, self.blocks) as loop:
            codes = self.load(self.moved(self.codes, loop.index, 64), self.bytes)
            low, high = (self._permuted(plane, codes) for plane in planes)
            for half in range(2):
                order = [i // 2 + 32 * half + 64 * (i % 2) for i in range(64)]
                self.store(self.shuffled(low, high, order), self.moved(self.rows, loop.index, 128), 64 * half)

    def _plane(self, plane: int) -> list[Any]:
        first = self.moved(self.table, self.plane, plane)
        return [self.load(first, self.bytes, 64 * i) for i in range(4)]

    def _permuted(self, plane: list[Any], codes: Any) -> Any:
        name = "llvm.x86.avx512.vpermi2var.qi.512"
        lower, upper = (self.call(name, self.bytes, plane[i], codes, plane[i + 1]) for i in (0, 2))
        top = self.builder.icmp_signed("<", codes, ir.Constant(self.bytes, [0] * 64))
        return self.builder.select(top, upper, lower)
