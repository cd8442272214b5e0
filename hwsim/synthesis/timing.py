"""How long a netlist's longest path is: in gates, and in picoseconds where the cells have delays."""

from collections.abc import Callable

from hwsim.synthesis.cells import load_cells
from hwsim.synthesis.netlist import Netlist


def logic_depth(netlist: Netlist) -> int:
    """Return how many gates the longest path has: between ports, registers, or both."""
    return int(_longest(netlist, lambda _cell, _pin: 1))


def delay_ps(netlist: Netlist) -> float:
    """Return the sum of the cells' delays on the longest path between ports, registers, or both.

    Wires, loads and the registers' own times count nothing: see `hwsim.synthesis.cells` for what the delays are.
    """
    cells = load_cells()
    return _longest(netlist, lambda cell, pin: cells[cell].delay_ps[pin])


def _longest(netlist: Netlist, delay: Callable[[str, str], float]) -> float:
    arrival: dict[int, float] = {}
    for gate in netlist.gates:
        times = (arrival.get(net, 0.0) + delay(gate.type, pin) for pin, net in gate.inputs.items() if net >= 0)
        arrival[gate.output] = max(times, default=0.0)
    return max(arrival.values(), default=0.0)
