"""What the vector kernels share: a few words of LLVM's language, for intrinsics that numba compiles."""

from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, config, types

WORD = ir.IntType(64)


def processor_features() -> set[str]:
    """Return the features that kernels are compiled for: this processor's, or none known if numba was told another."""
    if any(vars(config).get(name) is not None for name in ("CPU_NAME", "CPU_FEATURES")):
        return set()
    return {name for name, present in binding.get_host_cpu_features().items() if present}


class VectorCode:
    """Writes loads, stores and additions of vectors at addresses that are 64-bit integers."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder = context, builder

    def array(self, kind: Any, value: Any) -> Any:
        """Return a numba array's fields."""
        return self.context.make_array(kind)(self.context, self.builder, value)

    def address(self, kind: Any, value: Any) -> Any:
        """Return where a numba array's elements are."""
        return self.builder.ptrtoint(self.array(kind, value).data, WORD)

    def moved(self, address: Any, count: Any, size: int) -> Any:
        """Return the address `count` elements of `size` bytes further on."""
        return self.builder.add(address, self.builder.mul(count, ir.Constant(WORD, size)))

    def load(self, address: Any, kind: Any, offset: int = 0) -> Any:
        """Return the value of this LLVM type `offset` bytes after the address."""
        return self.builder.load(self._pointer(address, kind, offset), align=1)

    def store(self, value: Any, address: Any, offset: int = 0) -> None:
        """Store a value `offset` bytes after the address."""
        self.builder.store(value, self._pointer(address, value.type, offset), align=1)

    def load_index(self, address: Any, bits: int, offset: int = 0) -> Any:
        """Return an unsigned integer of so many bits as a word."""
        value = self.load(address, ir.IntType(bits), offset)
        return self.builder.zext(value, WORD) if bits < WORD.width else value

    def register(self, value: Any) -> Any:
        """Return a variable that holds the value; LLVM keeps it in registers."""
        variable = cgutils.alloca_once(self.builder, value.type)  # type: ignore[no-untyped-call]
        self.builder.store(value, variable)
        return variable

    def splat(self, value: Any, vector: Any) -> Any:
        """Return a vector whose elements are all this integer, cut to their width."""
        element = vector.element
        narrow = self.builder.trunc(value, element) if element.width < value.type.width else value
        one = self.builder.insert_element(ir.Constant(vector, ir.Undefined), narrow, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(one, one, _mask([0] * vector.count))

    def joined(self, first: Any, second: Any) -> Any:
        """Return two vectors as one, twice as long."""
        return self.shuffled(first, second, list(range(2 * first.type.count)))

    def shuffled(self, first: Any, second: Any, order: list[int]) -> Any:
        """Return elements of two vectors, numbered through, in this order."""
        return self.builder.shuffle_vector(first, second, _mask(order))

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """Return what one of LLVM's functions makes of the arguments."""
        signature = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, signature, name)  # type: ignore[no-untyped-call]
        return self.builder.call(function, arguments)

    def fence(self) -> None:
        """Keep LLVM from moving loads across this place, which would take more registers than there are."""
        nothing = ir.FunctionType(ir.VoidType(), [])
        self.builder.asm(nothing, "", "~{memory}", [], side_effect=True)

    def add(self, variables: list[Any], total: Any, addend: Any, ends: list[Any]) -> None:
        """Add to the first variable, which holds the total: saturating in 16 bits, clipped to the ends if given.

        The second variable, if there is one, collects the bits in which the saturating sum and the wrapped one differ.
        """
        kind, exact = total.type, self.builder.add(total, addend)
        added = exact
        if kind.element.width == 16:
            added = self.call(f"llvm.sadd.sat.v{kind.count}i16", kind, total, addend)
        if ends:
            added = self._clipped(added, *ends)
        self.builder.store(added, variables[0])
        for mark in variables[1:]:
            self.builder.store(self.builder.or_(self.builder.load(mark), self.builder.xor(added, exact)), mark)

    def _clipped(self, value: Any, low: Any, high: Any) -> Any:
        floored = self.builder.select(self.builder.icmp_signed("<", value, low), low, value)
        return self.builder.select(self.builder.icmp_signed(">", floored, high), high, floored)

    def _pointer(self, address: Any, kind: Any, offset: int) -> Any:
        shifted = self.builder.add(address, ir.Constant(WORD, offset))
        return self.builder.inttoptr(shifted, kind.as_pointer())


def is_none(kind: Any) -> bool:
    """Return whether a numba argument is None."""
    return isinstance(kind, types.NoneType | types.Omitted)


def _mask(elements: list[int]) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(elements)), elements)
