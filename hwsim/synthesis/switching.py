"""Switching energy of a netlist: how often its nets change on given operands, times what each of them charges."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.synthesis.cells import GATE_EQUIVALENT, SUPPLY_V, load_cells
from hwsim.synthesis.evaluate import run
from hwsim.synthesis.netlist import Netlist

#: Load of an output port: one NAND2 input.
PORT_LOAD = (GATE_EQUIVALENT, "A")
PROXY = "toggles x input capacitance / 2 x (1.8 V)^2; no wires, no glitches, no leakage"


@dataclass(frozen=True)
class Switching:
    """What a clock cycle costs on average: energy in fJ, and of it what the clock pins take."""

    energy_fj: float
    clock_fj: float
    toggles: float  #: Nets that change per cycle, the clock apart.


def switching(netlist: Netlist, inputs: Mapping[str, NDArray[np.int64]]) -> Switching:
    """Return the mean over cycles of streams of operands; each input has shape (cycles, streams), cycles at least 2.

    A net that changes charges or discharges the inputs that it drives: half of C V^2, with the capacitances and the
    voltage of `hwsim.synthesis.cells`. A net changes at most once per cycle (no glitches), wires weigh nothing, cells
    burn nothing inside: a lower bound that compares circuits. The clock's two edges are charged at every flip-flop.
    """
    cycles, streams = next(iter(inputs.values())).shape
    capacitance = _capacitances(netlist)
    changes = dict.fromkeys(capacitance, 0)
    before = None
    for nets in run(netlist, inputs):
        if before is not None:
            for net in changes:
                changes[net] += int(np.count_nonzero(nets[net] ^ before[net]))
        before = nets
    steps = (cycles - 1) * streams
    half_v2 = SUPPLY_V**2 / 2
    data = sum(count * capacitance[net] for net, count in changes.items()) / steps * half_v2
    clock = 2 * half_v2 * sum(load_cells()[register.type].capacitance_ff("CLK") for register in netlist.registers)
    return Switching(data + clock, clock, sum(changes.values()) / steps)


def _capacitances(netlist: Netlist) -> dict[int, float]:
    """Return the load of each net but constants and clocks, in fF."""
    loads = {net: [pin for pin in pins if pin[1] != "CLK"] for net, pins in netlist.loads.items() if net >= 0}
    for bits in netlist.outputs.values():
        for net in bits:
            if net >= 0:
                loads.setdefault(net, []).append(PORT_LOAD)
    cells = load_cells()
    return {net: sum(cells[cell].capacitance_ff(pin) for cell, pin in pins) for net, pins in loads.items() if pins}
