"""Proof by exhaustion: a multiplier circuit simulated on every pair of codes, against the software's product table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from amaranth.sim import Simulator, SimulatorContext

from hwsim.arithmetic import IntArray
from hwsim.rtl.multipliers import MultiplierCircuit


@dataclass(frozen=True)
class Mismatch:
    """A pair of codes whose product differs."""

    w: int
    a: int
    expected: int
    got: int


def simulated_table(circuit: MultiplierCircuit, advance: Callable[[int], None] = lambda columns: None) -> IntArray:
    """Return every product as Amaranth's simulator computes it, shape (2**len(w), 2**len(a)).

    advance: told how many columns are done. The weight changes fastest: it drives the last few multiplexers of a table.
    """
    table = np.zeros((1 << len(circuit.w), 1 << len(circuit.a)), dtype=np.int64)

    async def bench(ctx: SimulatorContext) -> None:
        for a in range(table.shape[1]):
            ctx.set(circuit.a, a)
            for w in range(len(table)):
                ctx.set(circuit.w, w)
                table[w, a] = ctx.get(circuit.product)
            advance(a + 1)

    simulator = Simulator(circuit)
    simulator.add_testbench(bench)
    simulator.run()
    return table


def mismatches(circuit: MultiplierCircuit, advance: Callable[[int], None] = lambda columns: None) -> Iterator[Mismatch]:
    """Yield the pairs of codes, used or not, whose simulated product is not that of the software."""
    expected, got = circuit.multiplier.table(), simulated_table(circuit, advance)
    for w, a in np.argwhere(expected != got).tolist():
        yield Mismatch(w, a, int(expected[w, a]), int(got[w, a]))
