"""A netlist of standard cells computed in numpy: what its gates do, without any simulator of hardware."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.synthesis.cells import BoolArray, load_cells
from hwsim.synthesis.netlist import Netlist

IntArray = NDArray[np.int64]
Nets = dict[int, BoolArray]


def evaluate(netlist: Netlist, inputs: Mapping[str, ArrayLike], signed: Sequence[str] = ()) -> dict[str, IntArray]:
    """Return each output port's integers for integers at each input port, arrays of one shape.

    signed: the outputs that are two's complement. Registers hold 0.

    Raises:
        ValueError: an input port gets nothing, or a value that does not fit its bits.
    """
    nets = settle(netlist, inputs, {})
    return {name: word(nets, bits, name in signed) for name, bits in netlist.outputs.items()}


def run(netlist: Netlist, inputs: Mapping[str, IntArray], state: Nets | None = None) -> Iterator[Nets]:
    """Yield every net's values in each clock cycle; an input has shape (cycles, ...).

    state: what registers begin with, by the net that they drive; 0 where nothing is said.
    """
    state = {} if state is None else state
    for values in zip(*inputs.values(), strict=True):
        nets = settle(netlist, dict(zip(inputs, values, strict=True)), state)
        yield nets
        state = {register.output: nets[register.inputs["D"]] for register in netlist.registers}


def settle(netlist: Netlist, inputs: Mapping[str, ArrayLike], state: Nets) -> Nets:
    """Return the value of every net once the gates have settled; registers that are not in `state` hold 0.

    Raises:
        ValueError: an input port gets nothing, or a value that does not fit its bits.
    """
    missing = [name for name in netlist.inputs if name not in inputs]
    if missing:
        raise ValueError(f"input {missing[0]!r} of the netlist gets no value")
    shape = np.broadcast_shapes(*(np.shape(values) for values in inputs.values()))
    low, cells = np.zeros(shape, dtype=np.bool_), load_cells()
    nets: Nets = {-1: low, -2: ~low} | {register.output: low for register in netlist.registers} | state
    for name, bits in netlist.inputs.items():
        nets |= dict(zip(bits, _bits(name, np.asarray(inputs[name], dtype=np.int64), len(bits)), strict=True))
    for gate in netlist.gates:
        nets[gate.output] = cells[gate.type].evaluate({pin: nets[net] for pin, net in gate.inputs.items()})
    return nets


def word(nets: Nets, bits: Sequence[int], signed: bool) -> IntArray:
    """Return the integers that these nets hold, lowest bit first."""
    total = sum(nets[net].astype(np.int64) << place for place, net in enumerate(bits))
    return np.asarray(total - (nets[bits[-1]].astype(np.int64) << len(bits)) if signed else total)


def bits_of(values: IntArray, width: int) -> Iterator[BoolArray]:
    """Yield the lowest bits of integers, the lowest first."""
    for place in range(width):
        yield (values >> place & 1).astype(np.bool_)


def _bits(name: str, values: IntArray, width: int) -> Iterator[BoolArray]:
    if values.size and not (values.min() >= 0 and values.max() < 1 << width):
        raise ValueError(f"input {name!r} has {width} bits, which do not hold {values.min()}..{values.max()}")
    return bits_of(values, width)
