"""Tables of constants as logic: a case statement where it is short, otherwise a shared decision diagram."""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray

#: Address bits of the longest case statement: 16 entries. Of 256 entries Yosys makes up to twice the gates of a
#: diagram: 529 against 237 NAND2 (sky130) for the products of 4-bit POST with 2 fraction bits.
MAX_CASE_BITS = 4


def lookup(m: Module, name: str, address: Value, contents: IntArray, shape: Shape) -> Value:
    """Return contents[address], shape (at most 2**address bits,), as a signal of that name; beyond the contents, 0."""
    entry = Signal(shape, name=name)
    contents = np.pad(contents, (0, (1 << len(address)) - len(contents)))
    if not len(address):
        m.d.comb += entry.eq(int(contents[0]))
    elif len(address) <= MAX_CASE_BITS:
        _case(m, address, contents, entry)
    else:
        m.d.comb += entry.eq(DecisionDiagram(m, name, address).word(contents, len(entry)))
    return entry


def _case(m: Module, address: Value, contents: IntArray, entry: Signal) -> None:
    with m.Switch(address):
        for place in np.flatnonzero(contents).tolist():
            with m.Case(place):
                m.d.comb += entry.eq(int(contents[place]))


class DecisionDiagram:
    """Multiplexers that share equal subtables: a reduced ordered decision diagram (Bryant, IEEE TC C-35(8), 1986).

    One diagram for each bit of a word, the highest address bit first, all sharing their nodes. It says the same as a
    memory of constants, which synthesis would have to reduce to this first: 4,096 entries take Yosys 40 s so. The
    nodes of each address bit are a submodule: a simulator then computes a level only when the one below has changed.
    """

    def __init__(self, m: Module, name: str, address: Value) -> None:
        self.name, self.address = name, address
        self._nodes: dict[bytes, Value] = {}
        self._levels = [Module() for _ in range(len(address))]
        for place, level in enumerate(self._levels):
            m.submodules[f"{name}_{place}"] = level

    def word(self, contents: IntArray, width: int) -> Value:
        """Return the lowest `width` bits of contents[address]."""
        return Cat(self._node((contents >> place & 1).astype(np.bool_)) for place in range(width))

    def _node(self, bits: NDArray[np.bool_]) -> Value:
        """Return one bit of the table: a constant, the lower half's, or a multiplexer of both halves."""
        if bits.all() or not bits.any():
            return Const(int(bits[0]), 1)
        low, high = np.split(bits, 2)
        if np.array_equal(low, high):
            return self._node(low)
        key = bits.tobytes()  # as long as the table: subtables of different depth differ
        if key not in self._nodes:
            place = len(bits).bit_length() - 2
            self._nodes[key] = node = Signal(name=f"node{place}_{len(self._nodes)}")
            self._levels[place].d.comb += node.eq(Mux(self.address[place], self._node(high), self._node(low)))
        return self._nodes[key]
