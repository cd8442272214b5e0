"""A synthesised netlist: the gates that Yosys wrote as JSON, in an order in which they can be computed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

CONSTANTS = {"0": -1, "1": -2, "x": -1, "z": -1}  #: Nets of constants; what is undefined is taken as 0.


@dataclass(frozen=True)
class Gate:
    """One cell of a netlist: its type, the net at each input pin and the net that it drives."""

    type: str
    inputs: Mapping[str, int]
    output: int


@dataclass(frozen=True)
class Netlist:
    """Gates between ports. Nets are integers; constant 0 is -1, constant 1 is -2.

    inputs and outputs: the nets of each port, lowest bit first. gates: combinational, each after those that drive it.
    registers: flip-flops, whose input pin is D.
    """

    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    gates: tuple[Gate, ...]
    registers: tuple[Gate, ...]

    @cached_property
    def loads(self) -> Mapping[int, tuple[tuple[str, str], ...]]:
        """What each net drives: (cell type, pin) pairs of gates and registers."""
        loads: dict[int, list[tuple[str, str]]] = {}
        for gate in (*self.gates, *self.registers):
            for pin, net in gate.inputs.items():
                loads.setdefault(net, []).append((gate.type, pin))
        return {net: tuple(pins) for net, pins in loads.items()}

    @cached_property
    def count(self) -> Mapping[str, int]:
        """How many cells there are of each type."""
        counts: dict[str, int] = {}
        for gate in (*self.gates, *self.registers):
            counts[gate.type] = counts.get(gate.type, 0) + 1
        return counts


def read_netlist(text: str, top: str, registers: tuple[str, ...]) -> Netlist:
    """Return the netlist of one module in the text of Yosys' `write_json`.

    registers: the cell types that are flip-flops; every other cell has one output.

    Raises:
        ValueError: the module is missing, a cell has several outputs, or gates drive each other in a circle.
    """
    modules = json.loads(text)["modules"]
    if top not in modules:
        raise ValueError(f"the netlist has no module {top!r} (it has {', '.join(modules)})")
    cells = [_gate(name, cell) for name, cell in modules[top]["cells"].items() if cell["type"] != "$scopeinfo"]
    ports = modules[top]["ports"]
    inputs, outputs = (
        {name: _nets(port["bits"]) for name, port in ports.items() if port["direction"] == side}
        for side in ("input", "output")
    )
    gates = _ordered([gate for gate in cells if gate.type not in registers])
    return Netlist(inputs, outputs, gates, tuple(gate for gate in cells if gate.type in registers))


def _gate(name: str, cell: Mapping[str, Any]) -> Gate:
    pins = {pin: _nets(bits) for pin, bits in cell["connections"].items()}
    outputs = [pin for pin in pins if cell["port_directions"][pin] == "output"]
    if len(outputs) != 1 or len(pins[outputs[0]]) != 1:
        raise ValueError(f"cell {name} of type {cell['type']} must have one output of one bit, has {outputs}")
    nets = {_bit(pin, i, bits): net for pin, bits in pins.items() if pin not in outputs for i, net in enumerate(bits)}
    return Gate(str(cell["type"]), nets, pins[outputs[0]][0])


def _bit(pin: str, place: int, bits: tuple[int, ...]) -> str:
    return pin if len(bits) == 1 else f"{pin}{place}"


def _nets(bits: list[int | str]) -> tuple[int, ...]:
    return tuple(CONSTANTS[bit] if isinstance(bit, str) else bit for bit in bits)


def _ordered(gates: list[Gate]) -> tuple[Gate, ...]:
    driver = {gate.output: place for place, gate in enumerate(gates)}
    graph = {i: [driver[net] for net in gate.inputs.values() if net in driver] for i, gate in enumerate(gates)}
    try:
        return tuple(gates[i] for i in TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ValueError(f"gates of the netlist drive each other in a circle of {len(error.args[1]) - 1}") from error
